"""The published state dicts: which keys there are, of which shapes, and what recurlight calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from torch import Tensor

from recurlight.cells.layers import swiglu_width
from recurlight.interop.errors import PublishedError

__all__ = ["Entry", "Level", "Shapes", "check_layout", "infer_shapes", "layout"]

ROOT = "model.inner."

OUTER = {
    "H_init": "refiner.answer_start.vector",
    "L_init": "refiner.latent_start.vector",
    "embed_tokens.embedding_weight": "encoder.token",
    "embed_pos.embedding_weight": "encoder.position",
    "puzzle_emb.weights": "encoder.task",
    "lm_head.weight": "decoder.head.weight",
    "q_head.weight": "halting.head.weight",
    "q_head.bias": "halting.head.bias",
}
"""Weights outside the cells, after `model.inner.`, and ours, after `recursion.`."""

LEVELS = {"L_level": "refiner.latent", "H_level": "refiner.answer"}

ATTENTION = {
    "self_attn.qkv_proj.weight": "attention.qkv.weight",
    "self_attn.o_proj.weight": "attention.out.weight",
    "mlp.gate_up_proj.weight": "feedforward.gate_up.weight",
    "mlp.down_proj.weight": "feedforward.down.weight",
}
"""Weights of a block with attention."""

MIXER = {
    "mlp_t.gate_up_proj.weight": "positions.gate_up.weight",
    "mlp_t.down_proj.weight": "positions.down.weight",
    "mlp.gate_up_proj.weight": "channels.gate_up.weight",
    "mlp.down_proj.weight": "channels.down.weight",
}
"""Weights of a mixer's block."""

SHOWN = 2


class Entry(NamedTuple):
    """One published weight."""

    ours: str
    shape: tuple[int, ...]


class Level(NamedTuple):
    """The network of one level."""

    blocks: int
    mixer: bool


class Shapes(NamedTuple):
    """The architecture, as far as shapes tell it."""

    vocab: int
    width: int
    tasks: int
    """Rows of the task table; 0 where there is none."""
    task_width: int
    positions: int | None
    """Positions `N`; None where no weight has that many rows or columns."""
    learned: bool
    """Whether there is a vector for each position."""
    levels: dict[str, Level]
    """By published name, `L_level` and perhaps `H_level`."""
    expansion: float
    """Gives every SwiGLU its inner width."""

    @property
    def attention(self) -> bool:
        """Whether any level attends."""
        return not all(level.mixer for level in self.levels.values())


def infer_shapes(weights: Mapping[str, Tensor], path: str) -> Shapes:
    """Infer the architecture from the weights' names and shapes.

    Raises:
        PublishedError: A weight that every published model has is missing or is no matrix.
    """
    matrix = partial(_matrix, weights, path)
    vocab, width = matrix("embed_tokens.embedding_weight")
    levels = _levels(weights)
    learned, table = (ROOT + name in weights for name in ("embed_pos.embedding_weight", "puzzle_emb.weights"))
    tasks, task_width = matrix("puzzle_emb.weights") if table else (0, 0)
    axes = [matrix("embed_pos.embedding_weight")[0]] if learned else []
    inner: list[tuple[int, int]] = []  # (width, inner width) of each SwiGLU
    for level in levels:
        block = f"{level}.layers.0."
        inner.append(matrix(block + "mlp.down_proj.weight"))
        if levels[level].mixer:
            inner.append(matrix(block + "mlp_t.down_proj.weight"))
            axes.append(inner[-1][0])
    expansion = _expansion(inner)
    if expansion is None:
        raise PublishedError(
            f"{path}: no expansion gives SwiGLUs of width and inner width {sorted(set(inner))}, the inner "
            "ones rounded up to a multiple of 256: give a published TRM or HRM file"
        )
    positions = axes[0] if axes else None
    return Shapes(vocab, width, tasks, task_width, positions, learned, levels, expansion)


def _matrix(weights: Mapping[str, Tensor], path: str, name: str) -> tuple[int, int]:
    """Return the shape of a weight that must be there and be a matrix."""
    weight = weights.get(ROOT + name)
    if weight is None or weight.ndim != 2:
        found = "missing" if weight is None else f"{tuple(weight.shape)}, not a matrix"
        raise PublishedError(f"{path}: {ROOT}{name} is {found}: give a published TRM or HRM file")
    return weight.shape[0], weight.shape[1]


def _levels(weights: Mapping[str, Tensor]) -> dict[str, Level]:
    """Return the levels that there are, with the number of their blocks."""
    names = [name for name in LEVELS if any(key.startswith(f"{ROOT}{name}.") for key in weights)]
    levels = {}
    for name in names:
        found = [re.match(rf"{re.escape(ROOT)}{name}\.layers\.(\d+)\.(\w+)", key) for key in weights]
        blocks = {int(match[1]) for match in found if match}
        levels[name] = Level(len(blocks), any(match[2] == "mlp_t" for match in found if match))
    return levels


def _expansion(inner: list[tuple[int, int]]) -> float | None:
    """Return the usual expansion where it fits all widths, else the smallest that does.

    Example:
        >>> _expansion([(512, 1536), (97, 512)]), _expansion([(512, 1024)]), _expansion([(512, 1000)])
        (4.0, 3.0, None)
    """
    candidates = [4.0, *sorted(1.5 * size / width for width, size in inner)]
    return next((e for e in candidates if all(swiglu_width(w, e) == size for w, size in inner)), None)


def layout(shapes: Shapes) -> dict[str, Entry]:
    """Return every weight that a published model of these shapes has."""
    width = shapes.width
    outer: dict[str, tuple[int, ...]] = {
        "H_init": (width,),
        "L_init": (width,),
        "embed_tokens.embedding_weight": (shapes.vocab, width),
        "lm_head.weight": (shapes.vocab, width),
        "q_head.weight": (2, width),
        "q_head.bias": (2,),
    }
    if shapes.learned:
        outer["embed_pos.embedding_weight"] = (shapes.positions or 0, width)
    if shapes.tasks:
        outer["puzzle_emb.weights"] = (shapes.tasks, shapes.task_width)
    entries = {ROOT + key: Entry(f"recursion.{OUTER[key]}", shape) for key, shape in outer.items()}
    block = _block(shapes)
    for level, (blocks, mixer) in shapes.levels.items():
        for index in range(blocks):
            for key, ours in (MIXER if mixer else ATTENTION).items():
                name = f"recursion.{LEVELS[level]}.blocks.{index}.{ours}"
                entries[f"{ROOT}{level}.layers.{index}.{key}"] = Entry(name, block[key])
    return entries


def _block(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a block of either kind."""
    width, positions = shapes.width, shapes.positions or 0
    wide, long = (swiglu_width(axis, shapes.expansion) for axis in (width, positions))
    return {
        "self_attn.qkv_proj.weight": (3 * width, width),
        "self_attn.o_proj.weight": (width, width),
        "mlp_t.gate_up_proj.weight": (2 * long, positions),
        "mlp_t.down_proj.weight": (positions, long),
        "mlp.gate_up_proj.weight": (2 * wide, width),
        "mlp.down_proj.weight": (width, wide),
    }


def check_layout(weights: Mapping[str, Tensor], entries: Mapping[str, Entry], path: str) -> None:
    """Require exactly these weights in these shapes.

    Raises:
        PublishedError: Listing keys that are missing, unknown or of another shape.
    """
    found = {key: tuple(weight.shape) for key, weight in weights.items()}
    missing = [f"{key} is missing" for key in entries if key not in found]
    unknown = [f"{key} is unknown" for key in found if key not in entries]
    wrong = [
        f"{key} is {found[key]} and should be {entry.shape}"
        for key, entry in entries.items()
        if key in found and found[key] != entry.shape
    ]
    differences = missing + unknown + wrong
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise PublishedError(
            f"{path}: {', '.join(differences[:SHOWN])}{more}: give a published TRM or HRM file, unchanged"
        )
