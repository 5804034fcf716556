"""A driver as a program of torch: from one export, the numbers of the driver for any number of questions."""

from __future__ import annotations

import pytest
import torch
from frozen import Tied
from helpers import (
    NUMBERS,
    SIZES,
    attention,
    batch,
    causal,
    convolution,
    convolutions,
    mixer,
    numbers,
    opinionated,
    pooling,
    pre_norm,
    trm,
)
from torch import nn

from recurlight import (
    ConvergenceHalting,
    CorrectnessHalting,
    Denoising,
    EveryUpdate,
    FixedHalting,
    HeadDecoder,
    HiddenEncoder,
    ImplicitGradient,
    LastCycles,
    PicardSolver,
    QLearningHalting,
    Recursion,
    SingleRefiner,
    Sizes,
    SparseTable,
    TokenEncoder,
    TwoLevelRefiner,
    export_segment,
    export_solve,
)
from recurlight.errors import IncompatibleComponents
from recurlight.types import Batch


def two_levels() -> Recursion:
    """With a table of tasks and a prefix."""
    sizes = Sizes(vocab=6, tokens=16, width=16, prefix=1, tasks=3)
    encoder = TokenEncoder(learned_positions=True, task_table=SparseTable())
    refiner = TwoLevelRefiner(mixer(), attention(), latent_steps=1)
    made = Recursion(sizes, refiner, LastCycles(1), CorrectnessHalting(), encoder, cycles=1)
    encoder.task_table.rows.copy_(torch.arange(48.0).view(3, 16) / 48)
    return opinionated(made)


def fixed_point() -> Recursion:
    """Whose solver looks whether it may stop early."""
    solver = PicardSolver(check_every=1, tolerance=0.5)
    refiner = SingleRefiner(mixer())
    return Recursion(SIZES, refiner, ImplicitGradient(solver), ConvergenceHalting(), cycles=2)


def convolving() -> Recursion:
    made = Recursion(SIZES, SingleRefiner(convolution()), LastCycles(1), QLearningHalting(), cycles=1)
    return opinionated(made)


def fields() -> Recursion:
    """Of numbers."""
    parts = SingleRefiner(mixer()), LastCycles(1), CorrectnessHalting()
    return opinionated(Recursion(NUMBERS, *parts, cycles=1))


def mixed() -> Recursion:
    """Of numbers that are asked and tokens that are answered."""
    sizes = NUMBERS._replace(vocab=6, targets=0)
    return Recursion(sizes, SingleRefiner(mixer()), LastCycles(1), FixedHalting(), cycles=1)


def standing() -> Recursion:
    """On a frozen model, whose weights are in no state dict."""
    parts = SingleRefiner(causal()), LastCycles(1), CorrectnessHalting(), HiddenEncoder(), HeadDecoder()
    return opinionated(Recursion(SIZES, *parts, cycles=1, backbone=Tied()))


def of(cell: nn.Module, **sizes: int) -> Recursion:
    made = Recursion(
        SIZES._replace(**sizes), SingleRefiner(cell), LastCycles(1), CorrectnessHalting(), cycles=1
    )
    return opinionated(made)


CELLS = {
    "attention on a grid": lambda: of(attention(rotary_axes=2)),
    "convolution on a grid": lambda: of(convolution(kernel_axes=2, kernel=3)),
    "convolutions on a grid": lambda: of(convolutions(axes=2)),
    "pre-norm": lambda: of(pre_norm()),
    "pooling": lambda: of(pooling()),
    "pooling with a prefix, masked": lambda: of(pooling(masked=True), prefix=2),
}


@pytest.mark.parametrize(
    "made",
    [
        two_levels,
        fixed_point,
        convolving,
        fields,
        mixed,
        standing,
        *(pytest.param(CELLS[name], id=name) for name in CELLS),
    ],
)
def test_one_export_answers_one_and_seven_questions_as_the_driver(made, tmp_path):
    """Breaks when the number of rows is fixed in a program, or a weight is not in its file."""
    recursion = made().train()
    torch.export.save(export_solve(recursion, segments=2), tmp_path / "solve.pt2")
    assert recursion.training
    answer = torch.export.load(tmp_path / "solve.pt2").module()
    for rows in (1, 7):
        asked = asked_of(recursion, rows)
        expected = recursion.eval().solve(asked, 2, adaptive=False)
        found = answer(tokens=asked.inputs, task=asked.task)
        assert found["logits"].shape[0] == rows
        torch.testing.assert_close(found["logits"], expected.logits, rtol=0, atol=1e-6)
        torch.testing.assert_close(found["confidence"], expected.confidence, rtol=0, atol=1e-6)
        assert torch.equal(found["halted"], expected.halted)
    assert not found["logits"].requires_grad


def asked_of(recursion: Recursion, rows: int) -> Batch:
    """Questions and answers of the kinds that the driver takes."""
    sizes = recursion.sizes
    if not sizes.features:
        return batch(rows, seed=rows, sizes=sizes)
    asked = numbers(rows, seed=rows)
    return asked if sizes.targets else asked._replace(labels=torch.zeros(rows, sizes.tokens).long())


@pytest.mark.parametrize("made", [fields, mixed])
def test_one_segment_of_numbers_is_exported_too(made):
    recursion = made().eval()
    step = export_segment(recursion).module()
    asked = asked_of(recursion, 3)
    carry = recursion.start(asked)
    state = {name: torch.zeros_like(leaf) for name, leaf in carry.state._asdict().items()}
    with torch.no_grad():
        _, segment, _ = recursion.segment(carry, asked)
    out = step(tokens=asked.inputs, task=asked.task, age=carry.age, halted=carry.halted, state=state)
    torch.testing.assert_close(out["logits"], segment.logits, rtol=0, atol=1e-6)


def test_an_exported_segment_goes_on_where_the_last_one_ended(tmp_path):
    """Breaks when a halted row keeps its state, another one loses it, or no loop can be written around it."""
    recursion = opinionated(trm(), spread=0.5).eval()
    torch.export.save(export_segment(recursion), tmp_path / "segment.pt2")
    step = torch.export.load(tmp_path / "segment.pt2").module()
    for rows in (1, 7):
        asked = batch(rows)
        carry = recursion.start(asked)
        state = {name: torch.full_like(leaf, torch.nan) for name, leaf in carry.state._asdict().items()}
        ours = {"age": carry.age, "halted": carry.halted, "state": state}
        for number in range(3):
            fresh = batch(rows, seed=number)
            tokens = torch.where(ours["halted"][:, None], fresh.inputs, carry.batch.inputs)
            with torch.no_grad():
                carry, segment, score = recursion.segment(carry, fresh)
            out = step(tokens=tokens, task=asked.task, **ours)
            torch.testing.assert_close(out["logits"], segment.logits, rtol=0, atol=1e-6)
            for name, leaf in carry.state._asdict().items():
                torch.testing.assert_close(out["state"][name], leaf, rtol=0, atol=1e-6)
            assert torch.equal(out["age"], carry.age)
            assert torch.equal(out["halted"], recursion.halting.should_halt(score, carry.age))
            carry = carry._replace(halted=torch.arange(rows) % 2 == number % 2)
            ours = {"age": out["age"], "halted": carry.halted, "state": out["state"]}


class Counting(nn.Module):
    """A cell that fixes the number of rows."""

    def forward(self, state):
        return state * (1 + 1 / len(state))


class Choosing(nn.Module):
    """A cell that looks at what it computes."""

    def forward(self, state):
        return state if state.sum() > 0 else -state


@pytest.mark.parametrize("cell", [Counting, Choosing])
def test_a_part_that_knows_the_number_of_rows_is_refused_in_one_line(cell):
    recursion = Recursion(SIZES, SingleRefiner(cell()), LastCycles(1), FixedHalting(), cycles=1)
    with pytest.raises(IncompatibleComponents, match=r"any number of rows \(.*x.shape\[0\]") as caught:
        export_solve(recursion, segments=1)
    assert "\n" not in str(caught.value)


def test_an_export_runs_something():
    with pytest.raises(IncompatibleComponents, match="segments=0: give 1 or more"):
        export_solve(trm(), segments=0)
    with pytest.raises(IncompatibleComponents, match="cycles=0: give 1 or more"):
        export_segment(trm(), cycles=0)


def test_a_program_is_told_the_guesses_that_the_driver_would_be():
    """Fails if a program draws once more than the driver does, so that its noise is another."""
    parts = SingleRefiner(mixer()), EveryUpdate(), FixedHalting()
    recursion = Recursion(SIZES, *parts, cycles=1, max_segments=2, feedback=Denoising().feedback())
    asked = batch(3)
    program = export_solve(recursion).module()
    torch.manual_seed(0)
    found = program(tokens=asked.inputs, task=asked.task)["logits"]
    torch.manual_seed(0)
    expected = recursion.solve(asked, adaptive=False).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
