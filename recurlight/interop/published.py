"""From a published file to a checkpoint of recurlight that computes the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import __version__ as lightning_version
from lightning.pytorch.cli import instantiate_module
from torch import Tensor

from recurlight.checkpoints import files
from recurlight.checkpoints.contents import MODEL, STAMP, stamp
from recurlight.checkpoints.weights import require_same_weights
from recurlight.interop.architecture import resolve
from recurlight.interop.errors import PublishedError
from recurlight.interop.hyper_parameters import hyper_parameters
from recurlight.interop.layout import Entry, check_layout, infer_shapes, layout
from recurlight.interop.reading import PublishedFile, read_published
from recurlight.interop.settings import Resolver, SettingError
from recurlight.interop.training_data import DataSizes
from recurlight.spec.given import checked
from recurlight.training.module import RecursiveModule

__all__ = ["Imported", "convert", "import_published"]

TASK = "recursion.encoder.task"


class Imported(NamedTuple):
    """What an import made."""

    checkpoint: dict[str, Any]
    """What `save` writes, without a data section."""
    settings: dict[str, tuple[Any, str]]
    """Every setting of the architecture with its value and where that came from."""

    def save(self, path: str | Path) -> None:
        """Write the checkpoint with the checksum that loading it looks for; an older file is replaced.

        Raises:
            CheckpointError: It cannot be written.
        """
        files.write(self.checkpoint, path)


@checked
def import_published(
    path: str,
    family: str,
    *,
    config: str | None = None,
    weights: str | None = None,
    sizes: DataSizes | None = None,
    tasks: str = "keep",
    **settings: Any,
) -> Imported:
    """Turn a published file of TRM or HRM into a checkpoint that computes what the published code computes.

    The shapes tell width, vocabulary, tasks, blocks and kind of cell; `all_config.yaml` tells the rest. To
    import from a terminal use `recurlight import`.

    Args:
        path: File that `torch.save` wrote of the model's state dict.
        family: `trm` or `hrm`.
        config: Its `all_config.yaml`; None for the one beside the file.
        weights: `plain` or `averaged`, for files that hold both.
        sizes: What the data must agree with; None for no check.
        tasks: What the table of tasks holds: `keep` for the file's, `mean` for its mean in every row, `zero`
            for zeros, as at the start of training.
        **settings: `seq_len` and `num_tasks`, and the settings of `recurlight.interop.SETTINGS`, each above
            the file's own.

    Raises:
        PublishedError: The file is no such model; keys, shapes or family differ.
        SettingError: A setting is missing or wrong.

    Example:
        >>> import_published("step_65000", "trm")
        Traceback (most recent call last):
        recurlight.interop.errors.PublishedError: step_65000: there is no such file

    Reference:
        HRM (arXiv:2506.21734) and TRM (arXiv:2510.04871), the formats of their code.
    """
    return convert(read_published(path, config, weights), family, sizes=sizes, tasks=tasks, **settings)


def convert(
    file: PublishedFile, family: str, *, sizes: DataSizes | None = None, tasks: str = "keep", **settings: Any
) -> Imported:
    """Do the same with a file that has been read; see `import_published`."""
    _check_family(file, family)
    shapes = infer_shapes(file.weights, file.path)
    entries = layout(shapes)
    check_layout(file.weights, entries, file.path)
    resolver = Resolver(settings, file.config, file.config_path)
    resolver.check_family(family)
    model = resolve(family, shapes, resolver, file, sizes, tasks)
    state = _renamed(file.weights, entries, scores=1 if model.halting == "CorrectnessHalting" else 2)
    if TASK in state:
        state[TASK] = _task_table(state[TASK], tasks, model.tasks)
    parameters = hyper_parameters(model, file.config)
    _check(state, parameters)
    return Imported(_checkpoint(state, parameters), resolver.origins)


def _check_family(file: PublishedFile, family: str) -> None:
    """Tell TRM and HRM apart: only HRM has a network for the answer."""
    two = any(key.startswith("model.inner.H_level.") for key in file.weights)
    one = any(key.startswith("model.inner.L_level.") for key in file.weights)
    if family not in ("trm", "hrm"):
        raise SettingError(f"--from {family} is no published model: give --from trm or --from hrm")
    if not one:
        first = ", ".join(sorted(file.weights)[:2])
        raise PublishedError(
            f"{file.path} has no model.inner.L_level, it has {first}: give a published TRM or HRM file"
        )
    if two != (family == "hrm"):
        reason = "has H_level weights, TRM has none" if two else "has no H_level weights, HRM has them"
        raise PublishedError(f"{file.path} {reason}: use --from {'hrm' if two else 'trm'}")


def _renamed(weights: Mapping[str, Tensor], entries: Mapping[str, Entry], scores: int) -> dict[str, Tensor]:
    """Return the weights in float32 under our names, with as many rows of the halting head as are scores."""
    state = {entry.ours: weights[key].detach().float() for key, entry in entries.items()}
    for name in ("recursion.halting.head.weight", "recursion.halting.head.bias"):
        state[name] = state[name][:scores].clone()  # a slice would be saved with the rows that it leaves out
    return state


def _task_table(table: Tensor, tasks: str, rows: int) -> Tensor:
    """Return the table of tasks, `(rows, width)`."""
    if tasks == "keep":
        return table
    row = table.mean(dim=0) if tasks == "mean" else torch.zeros_like(table[0])
    return row.repeat(rows, 1)


def _check(state: dict[str, Tensor], parameters: Mapping[str, Any]) -> None:
    """Build the model, with one task for its size, and hold names and shapes to it."""
    arguments = {key: value for key, value in parameters.items() if not key.startswith("_")}
    model = instantiate_module(RecursiveModule, arguments | {"num_tasks": 1})
    table = {TASK: state[TASK][:1]} if TASK in state else {}
    require_same_weights(model.state_dict(), state | table)


def _checkpoint(state: dict[str, Tensor], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what Lightning loads: a run at step 0 whose optimizer has no state yet."""
    return {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning_version,
        "state_dict": state,
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        MODEL: parameters,
        STAMP: stamp(),
    }
