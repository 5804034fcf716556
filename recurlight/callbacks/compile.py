"""Compiled cells."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from recurlight.errors import RecurlightError
from recurlight.recursion import compile_cells
from recurlight.spec.given import checked
from recurlight.training.module import RecursiveModule

__all__ = ["CompileCells"]


class CompileCells(Callback):
    """Compiles the cells of the model, the part that runs again and again, when a run begins.

    Worth it for runs of more than a few minutes: a fused cell is faster and saves memory, and the first step
    waits for the compiler. Results agree with eager execution up to rounding. Training, validation and
    adaptive evaluation together take a handful of graphs for each cell, whatever the number of cycles.
    Averaged weights, checkpoints, mixed precision and several devices work as without it.

    On the command line: `--trainer.callbacks+=CompileCells`.

    Args:
        backend: Compiler; `inductor` generates code, `eager` and `aot_eager` only trace, for finding faults.

    Example:
        >>> CompileCells().backend
        'inductor'
    """

    @checked
    def __init__(self, backend: str | Callable[..., Any] = "inductor") -> None:
        self.backend = backend

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compile, once in the life of the model.

        Raises:
            RecurlightError: The model has no cells, or Inductor no C++ compiler for the CPU.
        """
        if not isinstance(pl_module, RecursiveModule):
            name = type(pl_module).__name__
            raise RecurlightError(
                f"CompileCells knows the cells of a RecursiveModule, not of {name}: call compile_cells"
            )
        if self.backend == "inductor":
            _require_compiler(trainer.strategy.root_device)
        compile_cells(pl_module.recursion.refiner, self.backend)


def _require_compiler(device: torch.device) -> None:
    """Require the C++ compiler that Inductor calls for code on a CPU."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and sys.platform != "win32" and shutil.which(name) is None:
        raise RecurlightError(
            f"CompileCells generates C++ for the CPU and found no compiler '{name}': "
            "install it, set CXX to another, or leave CompileCells out"
        )
