"""recurlight: the PyTorch Lightning framework for recursive reasoning models.

Public names load on first use, so that `recurlight recipes list` need not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurlight.cells import ConvTransformerCell, MixerCell, TransformerCell
    from recurlight.codec import Decoder, Encoder, TokenDecoder, TokenEncoder
    from recurlight.data import (
        AdditionData,
        ArcData,
        Augmentation,
        MazeData,
        ParityData,
        PermutationData,
        PuzzleData,
        Puzzles,
        QueensData,
        Questions,
        ReversalData,
        SequenceData,
        SortingData,
        Splits,
        SudokuData,
        TableData,
        Variants,
        draws,
        hold_out,
    )
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
    from recurlight.exact_by_group import ExactByGroup
    from recurlight.halting import (
        ConvergenceHalting,
        CorrectnessHalting,
        FixedHalting,
        Halting,
        QLearningHalting,
    )
    from recurlight.interop import import_published
    from recurlight.losses import SequenceLoss, SoftmaxCrossEntropy, StablemaxCrossEntropy
    from recurlight.module import RecursiveModule
    from recurlight.optim import AdamATan2, LinearWarmup, LinearWarmupCosine, SplitOptimizer
    from recurlight.precision import full_precision
    from recurlight.recursion import Recursion
    from recurlight.refiners import (
        Refiner,
        SingleRefiner,
        SingleState,
        StartVector,
        TwoLevelRefiner,
        TwoLevelState,
    )
    from recurlight.saving import DurableCheckpointIO
    from recurlight.sparse_table import SparseTable
    from recurlight.spec import Recorded
    from recurlight.task_metric import TaskMetric
    from recurlight.truncation import (
        AndersonSolver,
        EveryUpdate,
        FixedPointSolver,
        GradientTruncation,
        GradientWindow,
        ImplicitGradient,
        LastCycles,
        LastPerLevel,
        LastUpdates,
        PhantomGradient,
        PicardSolver,
    )
    from recurlight.types import IGNORE, Batch, Carry, Outcome, Prediction, Segment, Sized, Sizes
    from recurlight.weights import WarmStart, warm_start

_HOMES = {
    "cells": (
        "ConvTransformerCell",
        "MixerCell",
        "TransformerCell",
    ),
    "codec": (
        "Decoder",
        "Encoder",
        "TokenDecoder",
        "TokenEncoder",
    ),
    "data": (
        "AdditionData",
        "ArcData",
        "Augmentation",
        "MazeData",
        "ParityData",
        "PermutationData",
        "PuzzleData",
        "Puzzles",
        "QueensData",
        "Questions",
        "ReversalData",
        "SequenceData",
        "SortingData",
        "Splits",
        "SudokuData",
        "TableData",
        "Variants",
        "draws",
        "hold_out",
    ),
    "errors": (
        "CheckpointError",
        "CheckpointMismatch",
        "DataError",
        "IncompatibleComponents",
        "Interrupted",
        "NonFiniteError",
        "RecurlightError",
        "Unrecordable",
        "UntrustedCode",
    ),
    "exact_by_group": ("ExactByGroup",),
    "halting": (
        "ConvergenceHalting",
        "CorrectnessHalting",
        "FixedHalting",
        "Halting",
        "QLearningHalting",
    ),
    "interop": ("import_published",),
    "losses": (
        "SequenceLoss",
        "SoftmaxCrossEntropy",
        "StablemaxCrossEntropy",
    ),
    "module": ("RecursiveModule",),
    "optim": (
        "AdamATan2",
        "LinearWarmup",
        "LinearWarmupCosine",
        "SplitOptimizer",
    ),
    "precision": ("full_precision",),
    "recursion": ("Recursion",),
    "refiners": (
        "Refiner",
        "SingleRefiner",
        "SingleState",
        "StartVector",
        "TwoLevelRefiner",
        "TwoLevelState",
    ),
    "saving": ("DurableCheckpointIO",),
    "sparse_table": ("SparseTable",),
    "spec": ("Recorded",),
    "task_metric": ("TaskMetric",),
    "truncation": (
        "AndersonSolver",
        "EveryUpdate",
        "FixedPointSolver",
        "GradientTruncation",
        "GradientWindow",
        "ImplicitGradient",
        "LastCycles",
        "LastPerLevel",
        "LastUpdates",
        "PhantomGradient",
        "PicardSolver",
    ),
    "types": (
        "IGNORE",
        "Batch",
        "Carry",
        "Outcome",
        "Prediction",
        "Segment",
        "Sized",
        "Sizes",
    ),
    "weights": (
        "WarmStart",
        "warm_start",
    ),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'recurlight' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"recurlight.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names for completion."""
    return sorted(_HOME_OF)
