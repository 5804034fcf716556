"""What a frozen model makes of a question, as the injection."""

from __future__ import annotations

import torch
from torch import Tensor

from recurlight.codec.backbone import UsesBackbone
from recurlight.codec.base import PositionedEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import at_least_float32, linear
from recurlight.types import Sizes

__all__ = ["HiddenEncoder"]


class HiddenEncoder(UsesBackbone, PositionedEncoder):
    """The last hidden states of the backbone, projected where the widths differ.

    `injection = hidden(question)`, or `projection @ hidden(question)`; with learned positions
    `(injection + sqrt(D) * position) / sqrt(2)`

    The backbone reads the question in every segment anew, without gradient unless layers of it are trained;
    where it is large, let a segment have many cycles and `max_segments` be 1.

    Args:
        learned_positions: Add a trained vector for each position.
        task_width: Of a task prefix, see `TokenEncoder`.
        task_table: Of a task prefix, see `TokenEncoder`.

    Example:
        >>> encoder = HiddenEncoder(learned_positions=True)
        >>> encoder.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator())
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: HiddenEncoder reads a frozen model and there is none: ...
    """

    def build_embedding(self, sizes: Sizes, std: float, generator: torch.Generator) -> None:
        """Make the projection, if there is one."""
        width = self.backbone.width
        self.projection = None if width == sizes.width else linear(width, sizes.width, generator)

    def embed(self, question: Tensor) -> Tensor:
        """Let the backbone read tokens `(B, L)`, `(B, L, D)`; `forward` scales them back.

        Raises:
            IncompatibleComponents: They go on a text that was read before.
        """
        if self.offset:
            raise IncompatibleComponents(
                "HiddenEncoder reads a text whole, for its backbone keeps no keys and values, so that "
                "nothing can be generated token by token: ask by solve"
            )
        trains = next(self.backbone.parameters(), None) is not None
        with torch.set_grad_enabled(trains and torch.is_grad_enabled()):
            hidden = at_least_float32(self.backbone.hidden(self.backbone.embed(question)))
        return (hidden if self.projection is None else self.projection(hidden)) / self.scale
