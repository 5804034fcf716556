"""The carries of a run: kept between steps, written, divided over ranks and looked into, all of it here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path

from recurlight.errors import CheckpointMismatch, IncompatibleComponents
from recurlight.ranks import gather, rank, world_size
from recurlight.types import Batch, Carry, State

__all__ = ["Carries", "magnitudes", "pack", "unpack"]

T = TypeVar("T")

_ADVICE = "resume with the model, data and batch size of the run, or begin another with its weights alone"


class Carries(dict[int, Carry]):
    """The carry of each micro-batch of an optimizer step, by its number.

    `Recursion` makes a carry and the next one of it. Between steps they wait here; a checkpoint holds them in
    the order of the global batch, so that another number of ranks can take them up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows = 1  # of each slot
        self.loaded: dict[int, Any] = {}
        """Carries of a checkpoint for micro-batches that have not begun yet."""

    def open(self, micro: int, fresh: Carry) -> None:
        """Give a micro-batch its first carry: this rank's share of the loaded one, or else a fresh one.

        Raises:
            CheckpointMismatch: The loaded one was for another model, length of the data or batch size.
        """
        packed = self.loaded.pop(micro, None)
        self[micro] = unpack(packed, fresh, rank(), world_size()) if packed else fresh

    def of(self, micro: int, batch: Batch, rows: int = 1) -> Carry:
        """Return the carry that a micro-batch continues.

        Args:
            micro: Number of the micro-batch in its step.
            batch: A sample for each slot.
            rows: Rows that each slot has in the carry.

        Raises:
            IncompatibleComponents: The batch is not as large as those before.
        """
        carry, self.rows = self[micro], rows
        slots = carry.batch.inputs[::rows]
        if slots.shape != batch.inputs.shape:
            raise IncompatibleComponents(
                f"a training batch of shape {tuple(batch.inputs.shape)} follows one of shape "
                f"{tuple(slots.shape)}: give the training loader drop_last=True"
            )
        return carry

    def pack(self) -> dict[int, Any]:
        """Return the carries of all ranks on the CPU as plain tensors; every rank must call it."""
        # What was loaded for micro-batches that have not begun since is still theirs.
        return self.loaded | {micro: pack(self[micro], _global) for micro in sorted(self)}

    def magnitudes(self) -> list[tuple[str, Tensor]]:
        """Return what `magnitudes` finds in the state of each carry, the largest of the rows of a slot."""
        found = [field for carry in self.values() for field in magnitudes(carry.state)]
        return [(name, sizes.view(-1, self.rows).amax(1)) for name, sizes in found]


def pack(tree: Any, convert: Callable[[Tensor], Tensor] = torch.clone) -> Any:
    """Turn a tree of named tuples into dictionaries, which load without running code.

    Args:
        tree: A tensor, or a named tuple of trees.
        convert: Applied to every tensor; it must copy, since a view would be saved with all that it views.

    Example:
        >>> from recurlight.refiners.single import SingleState
        >>> pack(SingleState(torch.zeros(1)))
        {'answer': tensor([0.])}
    """
    if isinstance(tree, Tensor):
        return convert(tree)
    return {name: pack(leaf, convert) for name, leaf in _fields(tree).items()}


def _fields(tree: Any) -> dict[str, Any]:
    """Return the fields of a named tuple that hold something."""
    return {name: leaf for name, leaf in tree._asdict().items() if leaf is not None}


def _global(rows: Tensor) -> Tensor:
    return gather(rows).to("cpu", copy=True)


def unpack(packed: Any, like: T, rank: int = 0, ranks: int = 1, name: str = "carry") -> T:
    """Rebuild what `pack` took apart, keeping one rank's contiguous share of the rows.

    Args:
        packed: Result of `pack`, its tensors `(ranks * B, ...)`.
        like: Tree of the same fields with `(B, ...)` tensors; gives types and device, not dtypes.
        rank: This process's number.
        ranks: Number of processes.
        name: What to call it in an error.

    Raises:
        CheckpointMismatch: Fields or shapes differ.
    """
    if isinstance(like, Tensor):
        wanted = (ranks * len(like), *like.shape[1:])
        if not isinstance(packed, Tensor) or packed.shape != wanted:
            found = tuple(packed.shape) if isinstance(packed, Tensor) else "no tensor"
            raise CheckpointMismatch(
                f"{name} is {found} in the checkpoint and {wanted} in this run: {_ADVICE}"
            )
        # `gather` has put the rows of the ranks one after the other.
        return packed[rank * len(like) :][: len(like)].to(like.device)  # type: ignore[return-value]
    fields = _fields(like)
    if not isinstance(packed, dict) or packed.keys() != fields.keys():
        found = ", ".join(packed) if isinstance(packed, dict) else "a tensor"
        raise CheckpointMismatch(
            f"{name} holds {found} in the checkpoint and {', '.join(fields)} in this run: {_ADVICE}"
        )
    return type(like)(
        **{key: unpack(packed[key], leaf, rank, ranks, f"{name}.{key}") for key, leaf in fields.items()}
    )


def magnitudes(state: State) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the largest magnitude in every slot, `(B,)`, of each floating-point field.

    It is not finite where and only where a value is not.
    """
    for path, leaf in tree_flatten_with_path(state)[0]:
        if leaf.is_floating_point():
            rows = leaf.reshape(len(leaf), -1)
            yield keystr(path).lstrip("."), torch.linalg.vector_norm(rows, torch.inf, dim=1)
