"""What users call with the wrong type, shape, dtype, sign or device: one line, none from deep inside."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers import SIZES, batch, bound, loader, mixer, module, numbers, segment_of, trainer, trm
from odd_refiners import compose
from torch import nn

from recurlight import (
    Batch,
    ConvergenceHalting,
    ConvTransformerCell,
    CorrectnessHalting,
    EveryUpdate,
    ExactByGroup,
    FixedHalting,
    ImplicitGradient,
    LastCycles,
    MixerCell,
    Outcome,
    PhantomGradient,
    PicardSolver,
    Prediction,
    QLearningHalting,
    RecurlightError,
    SingleRefiner,
    SingleState,
    Sizes,
    SoftmaxCrossEntropy,
    SparseTable,
    StablemaxCrossEntropy,
    StartVector,
    TokenDecoder,
    TokenEncoder,
    TransformerCell,
    TwoLevelRefiner,
    TwoLevelState,
    slots,
)

FOUR = batch(4)
STATES = torch.zeros(4, 16, 16)
FIELDS = numbers(4)
BATCHES = {
    "a tuple": (tuple(FOUR), "the batch is a tuple: give a recurlight.Batch"),
    "a list": ([FOUR.inputs, FOUR.labels], "the batch is a list"),
    "a tensor": (FOUR.inputs, "the batch is a Tensor"),
    "None": (None, "the batch is a NoneType"),
    "lists of numbers": (FOUR._replace(inputs=FOUR.inputs.tolist()), "batch.inputs is a list"),
    "inputs float": (FOUR._replace(inputs=FOUR.inputs.float()), "batch.inputs is (4, 16) torch.float32"),
    "inputs int32": (FOUR._replace(inputs=FOUR.inputs.int()), "batch.inputs is (4, 16) torch.int32"),
    "inputs grids": (FOUR._replace(inputs=FOUR.inputs.view(4, 4, 4)), "batch.inputs is (4, 4, 4)"),
    "inputs one row": (FOUR._replace(inputs=FOUR.inputs[0]), "batch.inputs is (16,)"),
    "labels float": (FOUR._replace(labels=FOUR.labels.double()), "batch.labels is (4, 16) torch.float64"),
    "labels None": (FOUR._replace(labels=None), "batch.labels is a NoneType"),
    "labels shorter": (FOUR._replace(labels=FOUR.labels[:, :9]), "batch.labels is (4, 9)"),
    "labels fewer": (FOUR._replace(labels=FOUR.labels[:3]), "batch.labels is (3, 16)"),
    "inputs numbers": (
        FOUR._replace(inputs=FIELDS.inputs),
        "the model has features=0: pass the data module's",
    ),
    "labels numbers": (
        FOUR._replace(labels=FIELDS.labels),
        "the model has targets=0: pass the data module's",
    ),
    "task float": (FOUR._replace(task=FOUR.task.float()), "batch.task is (4,) torch.float32"),
    "task column": (FOUR._replace(task=FOUR.task[:, None]), "batch.task is (4, 1)"),
    "task fewer": (FOUR._replace(task=FOUR.task[:3]), "batch.task is (3,)"),
    "task a number": (FOUR._replace(task=0), "batch.task is a int"),
    "no rows": (slots.take(torch.arange(0), FOUR), "the batch has no rows"),
    "other length": (batch(4, sizes=SIZES._replace(tokens=9)), "the model has seq_len=16"),
    "other vocabulary": (FOUR._replace(inputs=FOUR.inputs + 5), "vocab_size=6"),
    "other device": (Batch(*(leaf.to("meta") for leaf in FOUR)), "batch.inputs is on meta, the model on cpu"),
}


def line(call) -> str:
    """Return the one line that a call raises."""
    with pytest.raises(RecurlightError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert message
    return message


# A trainer moves batches to the model's device and passes over None; its loader makes lists of tuples.
LOADED = [name for name in BATCHES if name not in ("other device", "None", "a tuple")]


@pytest.mark.parametrize("name", LOADED)
@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_a_trainer_names_what_is_wrong_with_a_batch(name, stage):
    """Fails if a batch of another form reaches the model, or is repaired without a word."""
    given, wanted = BATCHES[name]
    run = trainer(max_steps=1)
    message = line(lambda: getattr(run, stage)(module(), loader([given])))
    assert wanted in message or ("batch" in wanted and "give an object of class Batch" in message)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("method", ["start", "solve", "unroll", "forward"])
def test_plain_pytorch_names_it_too(name, method):
    """Fails if a method that takes a batch does not look at it."""
    given, wanted = BATCHES[name]
    made, recursion = module(), trm()
    calls = {
        "start": lambda: recursion.start(given),
        "solve": lambda: recursion.solve(given),
        "unroll": lambda: list(recursion.unroll(given)),
        "forward": lambda: made(given),
    }
    message = line(calls[method])
    assert wanted in message or "batch: give an object of class Batch" in message.replace("=None", "")


RECURSION, REFINER = trm(), bound(TwoLevelRefiner(mixer()))
CARRY = RECURSION.start(FOUR)
SCORE = torch.zeros(4, 1)
SEGMENT = segment_of(STATES)
RIGHT = Outcome(FOUR.task == 0, FOUR.task == 0, SCORE)
LOGITS = torch.zeros(4, 16, 6)
GROUPS = ExactByGroup("task", ["a", "b"], lambda batch: batch.task % 2)
ANSWERS = Prediction(LOGITS, FOUR.task, FOUR.task == 0, SCORE[:, 0])


def table() -> SparseTable:
    made = SparseTable()
    made.allocate(3, 2)
    return made


CELLS = {kind.__name__: kind for kind in (MixerCell, TransformerCell, ConvTransformerCell)}
READING_STATES = {
    **{name: lambda kind=kind: bound(kind(multiple=16, layers=1)) for name, kind in CELLS.items()},
    "TokenDecoder": lambda: bound(TokenDecoder()),
    "CorrectnessHalting.head": lambda: bound(CorrectnessHalting()).head,
    "QLearningHalting.head": lambda: bound(QLearningHalting()).head,
}
UNBUILT = {
    **CELLS,
    "TokenDecoder": TokenDecoder,
    "CorrectnessHalting.head": lambda: CorrectnessHalting().head,
    "StartVector": StartVector,
}


@pytest.mark.parametrize("name", READING_STATES)
def test_a_part_that_reads_states_names_their_shape(name):
    """Fails if states of another shape end in an error of a matrix product, or are taken."""
    part = bound(nn.Sequential(READING_STATES[name]()), SIZES)[0]
    for wrong in (STATES[:, :9], STATES[..., :9], STATES[0], STATES[None]):
        assert f"got {tuple(wrong.shape)}: give (B, N, D)" in line(lambda wrong=wrong: part(wrong))
    assert "got a str" in line(lambda: part("states"))


@pytest.mark.parametrize("name", UNBUILT)
def test_a_part_that_is_not_built_says_so(name):
    """Fails if a cell without blocks hands its input on, or a missing weight ends in an AttributeError."""
    assert "is not built: compose it in a Recursion, or call bind" in line(lambda: UNBUILT[name]()(STATES))


CALLS = {
    "segment carry": (lambda: RECURSION.segment(None, FOUR), "carry"),
    "segment batch": (lambda: RECURSION.segment(CARRY, tuple(FOUR)), "fresh"),
    "segment fewer": (lambda: RECURSION.segment(CARRY, batch(3)), "the carry has slots (4, 16)"),
    "segment cycles": (lambda: RECURSION.segment(CARRY, FOUR, 0), "cycles=0: give 1 or more"),
    "segment cycles type": (lambda: RECURSION.segment(CARRY, FOUR, "2"), "cycles='2'"),
    "solve segments": (lambda: RECURSION.solve(FOUR, 0), "max_segments=0: give 1 or more"),
    "solve segments type": (lambda: RECURSION.solve(FOUR, 2.5), "max_segments=2.5"),
    "solve adaptive": (lambda: RECURSION.solve(FOUR, adaptive="no"), "adaptive='no'"),
    "solve cycles": (lambda: RECURSION.solve(FOUR, cycles=-1), "cycles=-1: give 1 or more"),
    "unroll at once": (lambda: RECURSION.unroll(FOUR, "3"), "max_segments='3'"),
    "outcome dtype": (lambda: RECURSION.outcome(CARRY, torch.zeros(4)), "correct is (4,) torch.float32"),
    "outcome rows": (lambda: RECURSION.outcome(CARRY, torch.zeros(3) > 0), "correct is (3,)"),
    "halt rows": (lambda: RECURSION.halt(CARRY, SCORE[:3], 0), "score is (3, 1)"),
    "halt step": (lambda: RECURSION.halt(CARRY, SCORE, 0.5), "step=0.5"),
    "halt rank": (lambda: RECURSION.halt(CARRY, SCORE, 0, rank=2, ranks=2), "rank=2"),
    "halt ranks": (lambda: RECURSION.halt(CARRY, SCORE, 0, ranks=0), "ranks=0"),
    "sizes type": (lambda: compose(sizes=Sizes("6", 16, 16)), "vocab_size is '6'"),
    "sizes tuple": (lambda: compose(sizes=(6, 16, 16)), "sizes=(6, 16, 16)"),
    "sizes prefix": (lambda: compose(sizes=Sizes(6, 16, 16, prefix=-1)), "prefix is -1"),
    "sizes grid": (
        lambda: compose(sizes=Sizes(6, 16, 16, grid=(3, 5))),
        "grid_shape is (3, 5) for 16 tokens: set model.grid_shape to rows and columns",
    ),
    "sizes grid type": (lambda: compose(sizes=Sizes(6, 16, 16, grid=(4, "4"))), "grid_shape is (4, '4')"),
    "sizes tasks": (lambda: compose(sizes=Sizes(6, 16, 16, tasks=0)), "num_tasks is 0"),
    "tokens dtype": (lambda: bound(TokenEncoder())(FOUR.inputs.float(), FOUR.task), "tokens is (4, 16)"),
    "tokens shape": (lambda: bound(TokenEncoder())(FOUR.inputs[:, :9], FOUR.task), "tokens is (4, 9)"),
    "task shape": (lambda: bound(TokenEncoder())(FOUR.inputs, FOUR.task[:2]), "task is (2,)"),
    "encoder not built": (lambda: TokenEncoder()(FOUR.inputs, FOUR.task), "TokenEncoder is not built"),
    "level of one": (
        lambda: bound(SingleRefiner(mixer())).update(SingleState(STATES), STATES, "latent"),
        "SingleRefiner has no level 'latent': give one of 'answer'",
    ),
    "level of two": (
        lambda: REFINER.update(TwoLevelState(STATES, STATES), STATES, "lattent"),
        "TwoLevelRefiner has no level 'lattent'",
    ),
    "start width": (lambda: REFINER.initial_state(STATES[..., :9]), "StartVector got (4, 16, 9)"),
    **{
        f"run {type(policy).__name__} {cycles}": (
            lambda policy=policy, cycles=cycles: policy.run(
                REFINER, TwoLevelState(STATES, STATES), STATES, cycles
            ),
            f"cycles={cycles!r}",
        )
        for policy in (EveryUpdate(), LastCycles(1), PhantomGradient(1), ImplicitGradient())
        for cycles in (0, -1, "2")
    },
    "solver steps": (lambda: PicardSolver().solve(lambda z: z, torch.zeros(1, 1), -1), "max_steps=-1"),
    "solver steps type": (lambda: PicardSolver().solve(lambda z: z, torch.zeros(1, 1), 2.5), "max_steps=2.5"),
    "solver function": (lambda: PicardSolver().solve(3, torch.zeros(1, 1), 3), "f=3"),
    "solver point": (lambda: PicardSolver().solve(lambda z: z, [0.0], 3), "z=[0.0]"),
    "solver shape": (lambda: PicardSolver().solve(lambda z: z, torch.zeros(3), 3), "z (3,)"),
    "solver dtype": (lambda: PicardSolver().solve(lambda z: z, FOUR.inputs, 3), "torch.int64"),
    **{
        f"{kind.__name__} {name}": (
            lambda kind=kind, given=given: kind()(*given),
            "give floating-point logits (B, L, V) and int64 labels (B, L)",
        )
        for kind in (SoftmaxCrossEntropy, StablemaxCrossEntropy)
        for name, given in {
            "labels dtype": (LOGITS, FOUR.labels.int()),
            "labels float": (LOGITS, FOUR.labels.float()),
            "labels type": (LOGITS, FOUR.labels.tolist()),
            "logits dtype": (LOGITS.long(), FOUR.labels),
            "logits shape": (LOGITS[0], FOUR.labels[0]),
            "logits type": (None, FOUR.labels),
        }.items()
    },
    "loss rows": (lambda: SoftmaxCrossEntropy()(LOGITS[:3], FOUR.labels), "give logits (B, L, V)"),
    **{
        f"{kind.__name__} {name}": (call, argument)
        for kind in (CorrectnessHalting, QLearningHalting, FixedHalting, ConvergenceHalting)
        for name, argument, call in (
            ("score", "segment", lambda kind=kind: kind().score(STATES)),
            ("decision", "score", lambda kind=kind: kind().should_halt([0.0], FOUR.task)),
            ("age", "age", lambda kind=kind: kind().should_halt(SCORE, 3)),
            ("outcome", "outcome", lambda kind=kind: kind().loss(SCORE, FOUR.task)),
            ("loss", "score", lambda kind=kind: kind().loss(0.0, RIGHT)),
        )
    },
    "table index dtype": (lambda: table()(torch.zeros(2)), "index is (2,) torch.float32"),
    "table index shape": (lambda: table()(FOUR.inputs), "index is (4, 16)"),
    "table index type": (lambda: table()([0]), "index is a list"),
    "table empty": (lambda: SparseTable()(FOUR.task), "SparseTable has no rows"),
    "table rows": (lambda: SparseTable().allocate(-1, 2), "rows=-1"),
    "table width": (lambda: SparseTable().allocate(2, 1.5), "width=1.5"),
    "metric batch": (lambda: GROUPS.update(FOUR.inputs, ANSWERS, 1), "batch"),
    "metric prediction": (lambda: GROUPS.update(FOUR, LOGITS, 1), "prediction"),
    "metric segments": (lambda: GROUPS.update(FOUR, ANSWERS, 0), "segments=0"),
    "choose dtype": (lambda: slots.choose(torch.ones(4), FOUR, FOUR), "the mask (4,) torch.float32"),
    "choose shape": (lambda: slots.choose(FOUR.inputs > 0, FOUR, FOUR), "the mask (4, 16)"),
    "choose type": (lambda: slots.choose([True], FOUR, FOUR), "the mask list"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_is_named(name):
    """Fails if a method takes what it cannot use, or ends in an error from deep inside."""
    call, wanted = CALLS[name]
    assert wanted in line(call)


def test_what_duck_types_a_record_is_taken():
    """Fails if a named tuple of one's own with the same fields is refused as a segment."""
    like = SEGMENT._replace(logits=LOGITS)
    assert FixedHalting().score(like).shape == (4, 0)
    with pytest.raises(RecurlightError, match="segment"):
        FixedHalting().score(SimpleNamespace(**SEGMENT._asdict()))
