"""Comparing the checkpoint of a resumed run with that of one that was never interrupted."""

from __future__ import annotations

from typing import Any

import torch

VARYING = {"dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"}
"""Paths, which name the folder of a run."""


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two checkpoints differ, to the last bit, but for the paths of their runs."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [path]
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.keys() != other.keys():
            return [path]
        keys = [key for key in one if key not in VARYING]
        return [found for key in keys for found in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, (list, tuple)):
        if type(one) is not type(other) or len(one) != len(other):
            return [path]
        pairs = enumerate(zip(one, other, strict=True))
        return [found for index, pair in pairs for found in differences(*pair, f"{path}/{index}")]
    return [] if one == other else [path]
