"""Every public constructor with the wrong type and sign: one line that names the argument, and never silence.

A new public name fails here until it is in `MADE`, which says how it is made rightly, or in `NOT_MADE`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import numpy as np
import pytest
import torch
from frozen import checkpoint
from gyms import small_gym
from helpers import SIZES, batch, mixer
from torch import nn

import recurlight
from recurlight import callbacks
from recurlight.data.puzzles import Puzzles
from recurlight.errors import RecurlightError
from recurlight.halting import FixedHalting
from recurlight.optim import Parameters
from recurlight.refiners import SingleRefiner
from recurlight.spec.names import VARIADIC, hints
from recurlight.truncation import EveryUpdate

ROWS = np.arange(1, 21).reshape(10, 2)


class Table(NamedTuple):
    """How something is made rightly; its arguments are made misused one by one."""

    make: Callable[..., Any]
    given: Mapping[str, Any] = {}
    signed: tuple[str, ...] = ()
    """Numbers that may be negative."""


class OwnData(recurlight.PuzzleData):
    def load(self):
        raise NotImplementedError


class OwnSequences(recurlight.SequenceData):
    def sample(self, length, keys):
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnSolver(recurlight.FixedPointSolver):
    def proposer(self, z):
        return lambda z, change: z + change


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.zeros(2))


def parts() -> dict[str, Any]:
    return {"refiner": SingleRefiner(mixer()), "truncation": EveryUpdate(), "halting": FixedHalting()}


def recursion() -> recurlight.Recursion:
    return recurlight.Recursion(SIZES, **parts())


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter()], lr=0.1)


FILE = TEXT = FROZEN = Path(tempfile.gettempdir())


@pytest.fixture(scope="module", autouse=True)
def file(tmp_path_factory) -> Iterator[None]:
    """Where `TableData`, `TextData` and `TrainedBackbone` look, and what `ReasoningGymData` finds."""
    global FILE, TEXT, FROZEN  # the table of arguments is made before any fixture
    FILE = tmp_path_factory.mktemp("table") / "all.csv"
    FILE.write_text("question,answer\n" + "".join(f"{n}a,{n}b\n" for n in range(10)))
    TEXT = FILE.with_name("text.txt")
    TEXT.write_text("to be or not to be, " * 200)
    FROZEN = FILE.with_name("base.ckpt")
    checkpoint(FROZEN)
    with small_gym(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(FILE.parent))
        yield


SEEDED = ("seed", "eval_seed")

MADE: dict[str, Table] = {
    **{name: Table(getattr(callbacks, name)) for name in callbacks.__all__ if name != "compile_cells"},
    "compile_cells": Table(callbacks.compile_cells, {"refiner": lambda: SingleRefiner(mixer())}),
    "CausalTransformerCell": Table(recurlight.CausalTransformerCell),
    "ConvCell": Table(recurlight.ConvCell),
    "ConvTransformerCell": Table(recurlight.ConvTransformerCell),
    "MixerCell": Table(recurlight.MixerCell),
    "PoolingCell": Table(recurlight.PoolingCell),
    "PreNormCell": Table(recurlight.PreNormCell),
    "TransformerCell": Table(recurlight.TransformerCell),
    "ContinuousEncoder": Table(recurlight.ContinuousEncoder),
    "ContinuousDecoder": Table(recurlight.ContinuousDecoder),
    "TokenEncoder": Table(recurlight.TokenEncoder),
    "TokenDecoder": Table(recurlight.TokenDecoder),
    "DeepEncoder": Table(recurlight.DeepEncoder, {"cell": mixer}),
    "DeepDecoder": Table(recurlight.DeepDecoder, {"cell": mixer}),
    "HiddenEncoder": Table(recurlight.HiddenEncoder),
    "HeadDecoder": Table(recurlight.HeadDecoder),
    "PretrainedBackbone": Table(recurlight.PretrainedBackbone, {"path": lambda: "."}),
    "SoftTokenEncoder": Table(recurlight.SoftTokenEncoder),
    "SoftTokenDecoder": Table(recurlight.SoftTokenDecoder),
    "TrainedBackbone": Table(recurlight.TrainedBackbone, {"checkpoint": lambda: str(FROZEN)}),
    "Memory": Table(recurlight.Memory),
    "AdditionData": Table(recurlight.AdditionData, signed=SEEDED),
    "ArcData": Table(recurlight.ArcData, signed=SEEDED),
    "HeatData": Table(recurlight.HeatData, signed=SEEDED),
    "MazeData": Table(recurlight.MazeData, signed=SEEDED),
    "ParityData": Table(recurlight.ParityData, signed=SEEDED),
    "PermutationData": Table(recurlight.PermutationData, signed=SEEDED),
    "PuzzleData": Table(OwnData, {"vocab_size": lambda: 5, "grid_shape": lambda: (2, 2)}, SEEDED),
    "QueensData": Table(recurlight.QueensData, signed=SEEDED),
    "ReasoningGymData": Table(
        recurlight.ReasoningGymData,
        {"num_train": lambda: 9, "num_val": lambda: 2, "num_test": lambda: 2},
        SEEDED,
    ),
    "ReversalData": Table(recurlight.ReversalData, signed=SEEDED),
    "SequenceData": Table(OwnSequences, {"symbols": lambda: "abc"}, SEEDED),
    "SortingData": Table(recurlight.SortingData, signed=SEEDED),
    "SudokuData": Table(recurlight.SudokuData, signed=SEEDED),
    "TableData": Table(
        recurlight.TableData, {"path": lambda: str(FILE), "num_val": lambda: 1, "num_test": lambda: 1}, SEEDED
    ),
    "TextData": Table(recurlight.TextData, {"path": lambda: str(TEXT)}, SEEDED),
    "hold_out": Table(
        recurlight.hold_out,
        {
            "puzzles": lambda: Puzzles(ROWS, ROWS, np.zeros(10)),
            "num_val": lambda: 1,
            "num_test": lambda: 1,
            "seed": lambda: 0,
        },
        SEEDED,
    ),
    "draws": Table(
        recurlight.draws,
        {"keys": lambda: np.arange(3, dtype=np.uint64), "stream": lambda: 0, "size": lambda: 4},
    ),
    "ExactByGroup": Table(
        recurlight.ExactByGroup,
        {"title": lambda: "task", "names": lambda: ["a", "b"], "group": lambda: lambda batch: batch.task},
    ),
    "ConvergenceHalting": Table(recurlight.ConvergenceHalting),
    "CorrectnessHalting": Table(recurlight.CorrectnessHalting),
    "FixedHalting": Table(recurlight.FixedHalting),
    "QLearningHalting": Table(recurlight.QLearningHalting, signed=("margin",)),
    "import_published": Table(
        recurlight.import_published, {"path": lambda: "nowhere", "family": lambda: "trm"}
    ),
    "MeanSquaredError": Table(recurlight.MeanSquaredError),
    "SoftmaxCrossEntropy": Table(recurlight.SoftmaxCrossEntropy),
    "StablemaxCrossEntropy": Table(recurlight.StablemaxCrossEntropy),
    "RecursiveModule": Table(
        recurlight.RecursiveModule,
        {"vocab_size": lambda: 6, "seq_len": lambda: 16, "width": lambda: 16}
        | {name: lambda name=name: parts()[name] for name in parts()},
        SEEDED,
    ),
    "AdamATan2": Table(recurlight.AdamATan2, {"params": lambda: [parameter()]}),
    "SplitOptimizer": Table(
        recurlight.SplitOptimizer,
        {"params": lambda: Parameters(recurlight.Recursion(SIZES, **parts()))},
    ),
    "LinearWarmup": Table(recurlight.LinearWarmup, {"optimizer": sgd}),
    "LinearWarmupCosine": Table(
        recurlight.LinearWarmupCosine, {"optimizer": sgd, "warmup": lambda: 1, "total": lambda: 2}
    ),
    "Recursion": Table(
        recurlight.Recursion,
        {"sizes": lambda: SIZES} | {name: lambda name=name: parts()[name] for name in parts()},
        SEEDED,
    ),
    "DampedRefiner": Table(recurlight.DampedRefiner, {"refiner": lambda: SingleRefiner(mixer())}),
    "SingleRefiner": Table(recurlight.SingleRefiner, {"cell": mixer}),
    "InjectedRefiner": Table(
        recurlight.InjectedRefiner, {"cell": mixer, "inject": recurlight.AddedInjection}
    ),
    "AddedInjection": Table(recurlight.AddedInjection),
    "DecayInjection": Table(recurlight.DecayInjection),
    "ProjectedInjection": Table(recurlight.ProjectedInjection),
    "QuestionStartRefiner": Table(recurlight.QuestionStartRefiner, {"latent": mixer}),
    "TwoLevelRefiner": Table(recurlight.TwoLevelRefiner, {"latent": mixer}),
    "StartVector": Table(recurlight.StartVector),
    "DurableCheckpointIO": Table(recurlight.DurableCheckpointIO),
    "SparseTable": Table(recurlight.SparseTable),
    "full_precision": Table(recurlight.full_precision, {"x": lambda: torch.zeros(2)}),
    "warm_start": Table(
        recurlight.warm_start, {"model": lambda: nn.Linear(2, 2), "checkpoint_path": lambda: "nowhere"}
    ),
    "AndersonSolver": Table(recurlight.AndersonSolver),
    "BroydenSolver": Table(recurlight.BroydenSolver),
    "FixedPointSolver": Table(OwnSolver),
    "PicardSolver": Table(recurlight.PicardSolver),
    "DeepSupervision": Table(recurlight.DeepSupervision, {"segments": lambda: 2}),
    "Denoising": Table(recurlight.Denoising),
    "ExpectedLoss": Table(recurlight.ExpectedLoss),
    "JacobianPenalty": Table(recurlight.JacobianPenalty, {"weight": lambda: 0.5}),
    "OneSegment": Table(recurlight.OneSegment),
    "PonderLoss": Table(recurlight.PonderLoss),
    "WinnerTakesAll": Table(recurlight.WinnerTakesAll, {"width": lambda: 2}),
    "examine": Table(
        recurlight.examine, {"recursion": recursion, "batches": lambda: [batch()]}, signed=("seed",)
    ),
    "export_segment": Table(recurlight.export_segment, {"recursion": recursion}),
    "export_solve": Table(recurlight.export_solve, {"recursion": recursion}),
    "replay": Table(
        recurlight.replay,
        {"recursion": recursion, "batch": batch, "data": lambda: recurlight.SudokuData(size=4)},
    ),
    "load": Table(recurlight.load, {"path": lambda: "nowhere"}),
    "load_recursion": Table(recurlight.load_recursion, {"path": lambda: "nowhere"}),
    "AsTrained": Table(recurlight.AsTrained),
    "Both": Table(recurlight.Both, {"first": recurlight.StableAnswer, "second": recurlight.AsTrained}),
    "ConfidentAnswer": Table(recurlight.ConfidentAnswer),
    "ConfidentJudge": Table(recurlight.ConfidentJudge),
    "Either": Table(recurlight.Either, {"first": recurlight.StableAnswer, "second": recurlight.AsTrained}),
    "StableAnswer": Table(recurlight.StableAnswer),
    "usual_stopping": Table(recurlight.usual_stopping, {"halting": FixedHalting}),
    "BestScore": Table(recurlight.BestScore),
    "FirstToHalt": Table(recurlight.FirstToHalt),
    "LastAnswer": Table(recurlight.LastAnswer),
    "LowestResidual": Table(recurlight.LowestResidual),
    "Majority": Table(recurlight.Majority),
    "Search": Table(recurlight.Search, signed=SEEDED),
    "Verified": Table(recurlight.Verified),
    "EveryUpdate": Table(recurlight.EveryUpdate),
    "ImplicitGradient": Table(recurlight.ImplicitGradient),
    "LastCycles": Table(recurlight.LastCycles),
    "LastPerLevel": Table(recurlight.LastPerLevel, {"counts": lambda: {"answer": 1}}),
    "LastUpdates": Table(recurlight.LastUpdates),
    "NeumannGradient": Table(recurlight.NeumannGradient),
    "PhantomGradient": Table(recurlight.PhantomGradient),
}

CONTEXT = "a context around code"
PLAIN = "a number, or an alias for types"
RETURNED = "a record that recurlight makes and no function takes"
RECORD = "a record, checked where it is used: see test_misuse_methods.py"
BASE = "an abstract class without arguments"
ERROR = "an error"
NOT_MADE: dict[str, str] = {
    **dict.fromkeys(("Batch", "Carry", "Outcome", "Prediction", "Seen", "Segment", "Sizes", "Turn"), RECORD),
    **dict.fromkeys(("IGNORE", "Augmentation", "SymmetryGroup"), PLAIN),
    **dict.fromkeys(
        (
            "Answer",
            "Chains",
            "Finding",
            "Found",
            "Judged",
            "Learnt",
            "Piece",
            "Replay",
            "Report",
            "Solver",
            "WarmStart",
        ),
        RETURNED,
    ),
    **dict.fromkeys(
        ("Looks", "Questions", "Variants", "Puzzles", "Splits", "SingleState", "TwoLevelState"), RECORD
    ),
    "remembering": CONTEXT,
    "Symmetry": RECORD,
    "Wording": RECORD,
    **dict.fromkeys(
        ("Decoder", "Encoder", "Halting", "Injection", "Refiner", "SequenceLoss", "Sized", "TaskMetric"), BASE
    ),
    **dict.fromkeys(("GradientTruncation", "GradientWindow", "PositionedEncoder", "Recorded", "Rules"), BASE),
    **dict.fromkeys(("Backbone", "UsesBackbone"), BASE),
    **dict.fromkeys(
        ("FixedPointGradient", "HaltingDistribution", "Selector", "Stopping", "Supervision"), BASE
    ),
    **{
        name: ERROR
        for name in recurlight.__all__
        if isinstance(getattr(recurlight, name), type) and issubclass(getattr(recurlight, name), Exception)
    },
}

LATER = {
    "LastCycles",
    "LastUpdates",
    "LastPerLevel",
    "PhantomGradient",
    "NeumannGradient",
    "ImplicitGradient",
}
"""Whose range depends on the composition, which refuses it."""


def test_every_public_name_is_held_to_this():
    """Fails if a new public name is misused by nobody."""
    assert set(recurlight.__all__) | set(callbacks.__all__) == {*MADE, *NOT_MADE}
    assert not {*MADE} & {*NOT_MADE}


def parameters(table: Table) -> dict[str, inspect.Parameter]:
    """All arguments of a constructor, with those that it hands on to its base."""
    kinds = table.make.__mro__ if isinstance(table.make, type) else [table.make]
    found: dict[str, inspect.Parameter] = {}
    for kind in kinds:
        made = kind.__init__ if isinstance(kind, type) else kind
        if not getattr(made, "__module__", "recurlight").startswith(("recurlight", "test_misuse")):
            break
        known = inspect.signature(made).parameters
        found = dict(known) | found if kind is not kinds[0] else dict(known)
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
            break
    return {name: p for name, p in found.items() if p.kind not in VARIADIC and name != "self"}


def types_of(table: Table) -> dict[str, Any]:
    kinds = table.make.__mro__ if isinstance(table.make, type) else [table.make]
    found: dict[str, Any] = {}
    for kind in reversed(kinds):
        found |= hints(kind)
    return found


def options_of(hint: Any) -> tuple[Any, ...]:
    """The types between which an argument may choose."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def wrong(hint: Any) -> Iterator[Any]:
    """Values that no argument of that type takes."""
    options = options_of(hint)
    yield from (object(),) if torch.Tensor in options else (object(), torch.zeros(2))
    if type(None) not in options:
        yield None
    if str not in options and Sequence[str] not in options:
        yield "32"
    if (
        int not in options
        and float not in options
        and not any(get_origin(option) is Literal for option in options)
    ):
        yield 3
    if int in options:
        yield from (1.5, True, [1])
    if float in options:
        yield from (math.nan, True, [0.1])
    if bool in options:
        yield 1
    for option in options:
        if get_origin(option) is Literal:
            yield from ("nothing of the kind", 77)
        if isinstance(option, type) and issubclass(option, nn.Module):
            yield option


def typed() -> Iterator[Any]:
    for name, table in MADE.items():
        kinds = types_of(table)
        for argument in parameters(table):
            for value in wrong(kinds.get(argument)):
                shown = (
                    value if isinstance(value, (str, int, float, list, type(None))) else type(value).__name__
                )
                yield pytest.param(table, argument, value, id=f"{name}-{argument}-{shown}")


def refused(table: Table, **changed: Any) -> str:
    """Make it with one argument misused, and return what was said."""
    given = {name: value() for name, value in table.given.items()}
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is asked below
        table.make(**(given | changed))
    message = str(caught.value)
    known = isinstance(caught.value, RecurlightError) or "multiple values for keyword argument" in message
    assert known, repr(caught.value)
    assert "\n" not in message
    assert message
    return message


@pytest.mark.parametrize(("table", "argument", "value"), list(typed()))
def test_a_wrong_type_is_named(table, argument, value):
    """Fails if an argument of another type is taken, or ends in an error from deep inside."""
    assert argument in refused(table, **{argument: value})


def numbered() -> Iterator[Any]:
    for name, table in MADE.items():
        kinds = types_of(table)
        for argument in parameters(table):
            options = options_of(kinds.get(argument))
            if (int in options or float in options) and argument not in table.signed and name not in LATER:
                yield pytest.param(table, argument, -1, id=f"{name}-{argument}")
                if float in options:
                    yield pytest.param(table, argument, math.inf, id=f"{name}-{argument}-inf")


@pytest.mark.parametrize(("table", "argument", "value"), list(numbered()))
def test_a_wrong_sign_is_named(table, argument, value):
    """Fails if a number that makes no sense is taken."""
    assert argument in refused(table, **{argument: value})


@pytest.mark.parametrize("name", [name for name in MADE if name != "import_published"])  # needs a file first
def test_an_unknown_argument_is_named(name):
    """Fails if an argument that nobody knows is swallowed."""
    given = {key: value() for key, value in MADE[name].given.items()}
    with pytest.raises((TypeError, RecurlightError), match=r"nobody_knows_it|takes no arguments"):
        MADE[name].make(**given, nobody_knows_it=1)
