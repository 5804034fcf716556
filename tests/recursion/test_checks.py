"""A composition trains or is refused at once, by one line that names the setting to change."""

from __future__ import annotations

import pytest
from helpers import SIZES, mixer
from odd_refiners import (
    Bare,
    Deaf,
    Growing,
    Idle,
    Misspelt,
    Nameless,
    Noisy,
    Restless,
    Unheard,
    Widening,
    compose,
    hrm,
)
from torch import nn

from recurlight.cells import TransformerCell
from recurlight.codec.tokens import TokenEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting import QLearningHalting
from recurlight.refiners import QuestionStartRefiner, SingleRefiner, TwoLevelRefiner
from recurlight.truncation import ImplicitGradient, LastCycles, LastPerLevel, LastUpdates, PhantomGradient
from recurlight.types import Sized

WIDTH = SIZES.width


class Vast(Sized):
    """A part that asks for more memory than there is."""

    def build(self, sizes, generator):
        raise RuntimeError("not enough memory\nat some line")


REFUSED = {
    "width": (lambda: compose(sizes=SIZES._replace(width=0)), "width is 0", "set model.width to 1 or more"),
    "prefix": (lambda: compose(sizes=SIZES._replace(prefix=-1)), "prefix is -1", "set model.prefix to 0"),
    "tokens": (lambda: compose(sizes=SIZES._replace(tokens=-2)), "seq_len is -2", "to 1 or more"),
    "memory": (
        lambda: compose(SingleRefiner(Vast())),
        "Vast cannot be made for width 16 and 16 positions (not enough memory)",
        "change model.width or its own settings",
    ),
    "cycles": (lambda: compose(cycles=0), "Recursion got cycles=0", "give 1 or more"),
    "max_segments": (
        lambda: compose(max_segments=0),
        "Recursion got max_segments=0",
        "give 1 or more",
    ),
    "exploration above 1": (
        lambda: compose(exploration=1.1),
        "Recursion got exploration=1.1",
        "give 0 or more and at most 1",
    ),
    "exploration below 0": (
        lambda: compose(exploration=-0.1),
        "Recursion got exploration=-0.1",
        "give 0 or more and at most 1",
    ),
    "exploration nan": (
        lambda: compose(exploration=float("nan")),
        "Recursion got exploration=nan",
        "give a finite number",
    ),
    "look-ahead": (
        lambda: compose(halting=QLearningHalting(), max_segments=1),
        "look-ahead has nothing to look at when there is one segment",
        "set model.max_segments to 2 or more, or model.halting to FixedHalting",
    ),
    "too many updates": (
        lambda: compose(truncation=LastUpdates(4), cycles=3),
        "LastUpdates(count=4) is longer than the segment",
        "set truncation LastUpdates(count=...) to at most 3, or raise cycles",
    ),
    "too many cycles": (
        lambda: compose(hrm(), LastCycles(3), cycles=2),
        "LastCycles(count=3) is longer than the segment",
        "set truncation LastCycles(count=...) to at most 2, or raise cycles",
    ),
    "too many of a level": (
        lambda: compose(hrm(), LastPerLevel({"answer": 3, "latent": 2}), cycles=2),
        "is longer than the segment",
        "set truncation LastPerLevel(counts={'answer': ...}) to at most 2, or raise cycles",
    ),
    "level unknown to the window": (
        lambda: compose(hrm(), LastPerLevel({"answr": 1}), cycles=2),
        "names the level 'answr', which no update writes",
        "did you mean 'answer'?",
    ),
    "phantom steps": (
        lambda: compose(truncation=PhantomGradient(steps=4), cycles=3),
        "does not fit cycles=3",
        "set truncation steps to at most cycles, at least 1",
    ),
    "cell outside the window": (
        lambda: compose(hrm(), LastUpdates(1), cycles=2),
        "leaves the cell of level 'latent' untrained: no update of it carries gradient",
        "set truncation LastUpdates(count=...) to at least 2, or freeze the cell",
    ),
    "cell never updated": (
        lambda: compose(Idle(mixer(), mixer())),
        "leaves the cell of level 'latent' untrained: Idle never updates it",
        "add 'latent' to schedule() of Idle, or freeze the cell",
    ),
    "cell never read": (
        lambda: compose(Unheard(mixer(), mixer()), LastCycles(1), cycles=1),
        "what its updates in the window write is lost before it reaches the answer",
        "let an update of 'answer' follow 'latent' in schedule() of Unheard, or freeze the cell",
    ),
    "encoder outside the window": (
        lambda: compose(TwoLevelRefiner(mixer()), LastUpdates(1), cycles=2),
        "LastUpdates(count=1) leaves the encoder untrained: no update that reads the question",
        "set truncation LastCycles(count=1)",
    ),
    "encoder outside the window of a level": (
        lambda: compose(TwoLevelRefiner(mixer()), LastPerLevel({"answer": 2}), cycles=2),
        "leaves the encoder untrained",
        "set truncation LastCycles(count=1)",
    ),
    "question never read": (
        lambda: compose(Deaf(mixer()), ImplicitGradient(), cycles=3),
        "leaves the encoder untrained: Deaf never reads the question",
        "use injection in its update or in its initial_state, or freeze the encoder",
    ),
    "question at the start, outside the window": (
        lambda: compose(
            QuestionStartRefiner(mixer(), latent_steps=3),
            LastPerLevel({"latent": 3, "answer": 1}),
            cycles=2,
        ),
        "leaves the encoder untrained: QuestionStartRefiner reads the question at its start alone",
        "set truncation EveryUpdate, or LastPerLevel with every update of 'answer', or freeze the encoder",
    ),
    "question at the start, of which a fixed point knows nothing": (
        lambda: compose(QuestionStartRefiner(mixer(), latent_steps=3), ImplicitGradient(), cycles=3),
        "leaves the encoder untrained: QuestionStartRefiner reads the question at its start alone",
        "set truncation EveryUpdate",
    ),
    "no fixed point": (
        lambda: compose(Noisy(mixer()), ImplicitGradient()),
        "needs the same cycle every time, but Noisy has stationary=False",
        "set truncation LastCycles(count=1) or another window",
    ),
    "one cycle to solve": (
        lambda: compose(truncation=ImplicitGradient(), cycles=1),
        "needs a cycle to solve and one to record",
        "set cycles=1 to 2 or more",
    ),
    "state without answer": (
        lambda: compose(Nameless(mixer())),
        "the state of Nameless has no field 'answer'",
        "rename the level that is read out",
    ),
    "state not a named tuple": (
        lambda: compose(Bare(mixer())),
        "the state of Bare is a Tensor",
        "make it a NamedTuple of tensors",
    ),
    "two levels written": (
        lambda: compose(Restless(mixer())),
        "the update of level 'answer' in Restless also replaces latent",
        "write one level, state._replace(answer=...)",
    ),
    "shape changed": (
        lambda: compose(Growing(mixer())),
        "turns answer from (2, 16, 16) torch.float32 into (2, 32, 16) torch.float32",
        "keep shape and dtype",
    ),
    "dtype changed": (
        lambda: compose(Widening(mixer())),
        "turns answer from (2, 16, 16) torch.float32 into (2, 16, 16) torch.float64",
        "keep shape and dtype",
    ),
    "level without field": (
        lambda: compose(Misspelt(mixer())),
        "Misspelt schedules the level 'anwser', which is not both a field of its state ('answer',)",
        "a key of its cells() ('answer',)",
    ),
    "cell of another width": (
        lambda: compose(SingleRefiner(nn.Linear(WIDTH + 1, WIDTH + 1))),
        "the update of level 'answer' in SingleRefiner fails on a state of shape (2, 16, 16)",
        "or set model.width to their width",
    ),
    "cell that narrows": (
        lambda: compose(SingleRefiner(nn.Linear(WIDTH, 1))),
        "turns answer from (2, 16, 16) torch.float32 into (2, 16, 1) torch.float32",
        "keep shape and dtype",
    ),
    "heads": (
        lambda: compose(SingleRefiner(TransformerCell(heads=3))),
        "3 heads do not divide width 16 into parts",
        "set model.width to a multiple of 6 or change the cell's heads",
    ),
    "task width": (
        lambda: compose(sizes=SIZES._replace(prefix=1), encoder=TokenEncoder(task_width=17)),
        "task_width 17 does not fit 1 prefix positions",
        "set task_width between 1 and 16 or change model.prefix",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason_and_the_remedy(name):
    build, reason, remedy = REFUSED[name]
    with pytest.raises(IncompatibleComponents) as caught:
        build()
    message = str(caught.value)
    assert reason in message
    assert remedy in message
    assert "\n" not in message
