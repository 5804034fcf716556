"""recurlight: the PyTorch Lightning framework for recursive reasoning models.

Public names load on first use, so that `recurlight recipes list` need not wait for torch.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurlight.callbacks import (
        Curriculum,
        DepthCurriculum,
        Moment,
        RandomDepth,
        RandomWindow,
        WindowCurriculum,
    )
    from recurlight.cells import (
        CausalTransformerCell,
        ConvCell,
        ConvTransformerCell,
        MixerCell,
        PoolingCell,
        PreNormCell,
        TransformerCell,
    )
    from recurlight.cells.memory import Memory, remembering
    from recurlight.checkpoints import DurableCheckpointIO
    from recurlight.codec import (
        ContinuousDecoder,
        ContinuousEncoder,
        Decoder,
        DeepDecoder,
        DeepEncoder,
        Encoder,
        PositionedEncoder,
        SparseTable,
        TokenDecoder,
        TokenEncoder,
    )
    from recurlight.data import (
        AdditionData,
        ArcData,
        Augmentation,
        HeatData,
        MazeData,
        ParityData,
        PermutationData,
        PuzzleData,
        Puzzles,
        QueensData,
        Questions,
        ReasoningGymData,
        ReversalData,
        Rules,
        SequenceData,
        SortingData,
        Splits,
        SudokuData,
        Symmetry,
        SymmetryGroup,
        TableData,
        TextData,
        Variants,
        draws,
        hold_out,
    )
    from recurlight.diagnostics import Finding, Report, examine
    from recurlight.errors import (
        CheckpointError,
        CheckpointMismatch,
        DataError,
        IncompatibleComponents,
        Interrupted,
        NonFiniteError,
        RecurlightError,
        Unrecordable,
        UntrustedCode,
    )
    from recurlight.halting import (
        ConvergenceHalting,
        CorrectnessHalting,
        FixedHalting,
        Halting,
        QLearningHalting,
    )
    from recurlight.interop import import_published
    from recurlight.language import (
        Backbone,
        HeadDecoder,
        HiddenEncoder,
        PretrainedBackbone,
        SoftTokenDecoder,
        SoftTokenEncoder,
        TrainedBackbone,
        UsesBackbone,
    )
    from recurlight.losses import MeanSquaredError, SequenceLoss, SoftmaxCrossEntropy, StablemaxCrossEntropy
    from recurlight.metrics import ExactByGroup, TaskMetric
    from recurlight.numerics import full_precision
    from recurlight.optim import AdamATan2, LinearWarmup, LinearWarmupCosine, SplitOptimizer
    from recurlight.recursion import Recursion, load_recursion
    from recurlight.recursion.export import export_segment, export_solve
    from recurlight.refiners import (
        AddedInjection,
        DampedRefiner,
        DecayInjection,
        InjectedRefiner,
        Injection,
        ProjectedInjection,
        QuestionStartRefiner,
        Refiner,
        SingleRefiner,
        SingleState,
        StartVector,
        TwoLevelRefiner,
        TwoLevelState,
    )
    from recurlight.rendering import Looks, Wording
    from recurlight.search import (
        BestScore,
        Chains,
        FirstToHalt,
        Found,
        LastAnswer,
        LowestResidual,
        Majority,
        Search,
        Selector,
        Verified,
    )
    from recurlight.solving import Answer, Piece, Solver, load
    from recurlight.spec import Recorded
    from recurlight.stopping import (
        AsTrained,
        Both,
        ConfidentAnswer,
        ConfidentJudge,
        Either,
        Seen,
        StableAnswer,
        Stopping,
        usual_stopping,
    )
    from recurlight.supervision import (
        DeepSupervision,
        Denoising,
        ExpectedLoss,
        HaltingDistribution,
        JacobianPenalty,
        OneSegment,
        PonderLoss,
        Supervision,
        Turn,
        WinnerTakesAll,
    )
    from recurlight.tracing import Replay, replay
    from recurlight.training import RecursiveModule
    from recurlight.training.warm_start import WarmStart, warm_start
    from recurlight.truncation import (
        AndersonSolver,
        BroydenSolver,
        EveryUpdate,
        FixedPointGradient,
        FixedPointSolver,
        GradientTruncation,
        GradientWindow,
        ImplicitGradient,
        LastCycles,
        LastPerLevel,
        LastUpdates,
        NeumannGradient,
        PhantomGradient,
        PicardSolver,
    )
    from recurlight.types import (
        IGNORE,
        Batch,
        Carry,
        Judged,
        Learnt,
        Outcome,
        Prediction,
        Segment,
        Sized,
        Sizes,
    )

# Several names on a line: the list is read by folder.
# fmt: off
_HOMES = {
    "callbacks": (
        "Curriculum", "DepthCurriculum", "Moment", "RandomDepth", "RandomWindow",
        "WindowCurriculum",
    ),
    "cells": (
        "CausalTransformerCell", "ConvCell", "ConvTransformerCell", "MixerCell", "PoolingCell", "PreNormCell",
        "TransformerCell",
    ),
    "cells.memory": ("Memory", "remembering"),
    "checkpoints": ("DurableCheckpointIO",),
    "codec": (
        "ContinuousDecoder", "ContinuousEncoder", "Decoder", "DeepDecoder", "DeepEncoder", "Encoder",
        "PositionedEncoder", "SparseTable", "TokenDecoder", "TokenEncoder",
    ),
    "data": (
        "AdditionData", "ArcData", "Augmentation", "HeatData", "MazeData", "ParityData",
        "PermutationData", "PuzzleData", "Puzzles", "QueensData", "Questions", "ReasoningGymData",
        "ReversalData", "Rules", "SequenceData", "SortingData", "Splits", "SudokuData", "Symmetry",
        "SymmetryGroup", "TableData", "TextData", "Variants", "draws", "hold_out",
    ),
    "diagnostics": ("Finding", "Report", "examine"),
    "errors": (
        "CheckpointError", "CheckpointMismatch", "DataError", "IncompatibleComponents",
        "Interrupted", "NonFiniteError", "RecurlightError", "Unrecordable", "UntrustedCode",
    ),
    "halting": ("ConvergenceHalting", "CorrectnessHalting", "FixedHalting", "Halting", "QLearningHalting"),
    "interop": ("import_published",),
    "language": (
        "Backbone", "HeadDecoder", "HiddenEncoder", "PretrainedBackbone", "SoftTokenDecoder",
        "SoftTokenEncoder", "TrainedBackbone", "UsesBackbone",
    ),
    "losses": ("MeanSquaredError", "SequenceLoss", "SoftmaxCrossEntropy", "StablemaxCrossEntropy"),
    "metrics": ("ExactByGroup", "TaskMetric"),
    "numerics": ("full_precision",),
    "optim": ("AdamATan2", "LinearWarmup", "LinearWarmupCosine", "SplitOptimizer"),
    "recursion": ("Recursion", "load_recursion"),
    "recursion.export": ("export_segment", "export_solve"),
    "refiners": (
        "AddedInjection", "DampedRefiner", "DecayInjection", "InjectedRefiner", "Injection",
        "ProjectedInjection", "QuestionStartRefiner", "Refiner", "SingleRefiner", "SingleState",
        "StartVector", "TwoLevelRefiner", "TwoLevelState",
    ),
    "rendering": ("Looks", "Wording"),
    "solving": ("Answer", "Piece", "Solver", "load"),
    "search": (
        "BestScore", "Chains", "FirstToHalt", "Found", "LastAnswer", "LowestResidual", "Majority",
        "Search", "Selector", "Verified",
    ),
    "spec": ("Recorded",),
    "stopping": (
        "AsTrained", "Both", "ConfidentAnswer", "ConfidentJudge", "Either", "Seen", "StableAnswer",
        "Stopping", "usual_stopping",
    ),
    "supervision": (
        "DeepSupervision", "Denoising", "ExpectedLoss", "HaltingDistribution", "JacobianPenalty",
        "OneSegment", "PonderLoss", "Supervision", "Turn", "WinnerTakesAll",
    ),
    "tracing": ("Replay", "replay"),
    "training": ("RecursiveModule",),
    "training.warm_start": ("WarmStart", "warm_start"),
    "truncation": (
        "AndersonSolver", "BroydenSolver", "EveryUpdate", "FixedPointGradient", "FixedPointSolver",
        "GradientTruncation", "GradientWindow", "ImplicitGradient", "LastCycles", "LastPerLevel",
        "LastUpdates", "NeumannGradient", "PhantomGradient", "PicardSolver",
    ),
    "types": (
        "IGNORE", "Batch", "Carry", "Judged", "Learnt", "Outcome", "Prediction", "Segment", "Sized",
        "Sizes",
    ),
}
# fmt: on

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


def _version() -> str:
    """Return the installed version; `(not installed)` where a source checkout is used as it is."""
    try:
        return metadata.version("recurlight")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name == "__version__":
        return _version()
    if name not in _HOME_OF:
        raise AttributeError(f"module 'recurlight' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"recurlight.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names for completion."""
    return sorted(_HOME_OF)
