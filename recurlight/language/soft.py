"""Thoughts as soft tokens: made of what a frozen model sees, and read by it before it answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.codec.backbone import Backbone, UsesBackbone
from recurlight.codec.base import Decoder, Encoder
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import at_least_float32, full_precision, linear, to_compute_dtype, truncated_normal
from recurlight.slots import require_cells
from recurlight.types import Batch, Sizes

__all__ = ["SoftTokenDecoder", "SoftTokenEncoder"]


class SoftTokenEncoder(UsesBackbone, Encoder):
    """What the backbone makes of a question and of `P` trained vectors after it, the soft tokens.

    `seen = hidden(embedding(question), soft)`, `injection = Q concat(seen[L:], seen[:L])`; with learned
    positions `(injection + sqrt(D) * position) / sqrt(2)`

    The refiner has a position for each soft token, the first `P` of `N`, and beside them those of the
    question, which the soft tokens may look at; `SoftTokenDecoder` shows the backbone the soft tokens alone.
    `model.prefix` is their number. Tasks are not told apart.

    Do not expect much of thoughts that a frozen model has to read: soft tokens before the answer had 53 % on
    Sudoku of 4x4 in one pass and 51 % in four loops. Where answers can be read at the question's own tokens,
    `HiddenEncoder` with `HeadDecoder` is simpler, and the backbone reads a third as much.

    Args:
        learned_positions: Add a trained vector for each position.

    Example:
        >>> encoder = SoftTokenEncoder()
        >>> encoder.bind(Sizes(vocab=6, tokens=16, width=32, prefix=4), torch.Generator())
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: SoftTokenEncoder reads a frozen model and there is none: ...
    """

    def __init__(self, learned_positions: bool = False) -> None:
        super().__init__()
        self.learned_positions = learned_positions

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the soft tokens as large as the embeddings, the projection, and the positions if wanted."""
        _require_room(self, self.backbone, sizes, readings=1)
        if sizes.tasks > 1:
            raise IncompatibleComponents(
                f"SoftTokenEncoder does not tell {sizes.tasks} tasks apart: take HiddenEncoder"
            )
        self.soft = _soft_tokens(self.backbone, sizes, generator)
        self.projection = linear(self.backbone.width, sizes.width, generator)
        if self.learned_positions:
            shape, std = (sizes.positions, sizes.width), 1 / math.sqrt(sizes.width)
            self.position = nn.Parameter(truncated_normal(*shape, std=std, generator=generator))

    def forward(self, question: Tensor, task: Tensor) -> Tensor:
        """Let the backbone read questions, `(B, L)` int64, and the soft tokens, `(B, N, D)`."""
        if self.sizes is None:
            raise IncompatibleComponents("SoftTokenEncoder is not built: compose it in a Recursion")
        require_cells("tokens", question, (-1, self.sizes.tokens), 0)
        asked = self.backbone.embed(question)
        soft = self.soft.to(asked.dtype).expand(asked.shape[0], -1, -1)
        seen = self.backbone.hidden(torch.cat([asked, soft], dim=1)).roll(self.sizes.prefix, dims=1)
        injection = self.projection(at_least_float32(seen))
        if self.learned_positions:
            injection = (injection + math.sqrt(self.sizes.width) * self.position) * math.sqrt(0.5)
        return to_compute_dtype(injection)


class SoftTokenDecoder(UsesBackbone, Decoder):
    """The answer as the backbone gives it after the question, the soft tokens, and the question once more.

    `soft = start + std * Q answer[:P]`, `logits = W hidden(question, soft, question)[L + P:]`, with the
    deviation `std` of the embeddings; what the refiner found moves trained vectors, and gradient flows
    through the frozen model to both.

    The backbone reads `2 L + P` tokens in every segment, with gradient. An answer at a position may depend
    on the whole question, so this is no decoder for running text, whose questions hold their answers. For
    what it is worth, see `SoftTokenEncoder`.

    Example:
        >>> decoder = SoftTokenDecoder()
        >>> decoder.bind(Sizes(vocab=6, tokens=16, width=32, prefix=4), torch.Generator())
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: SoftTokenDecoder reads a frozen model and there is none: ...

    Reference:
        Liu et al. 2024, "Deliberation in latent space via differentiable cache augmentation"
        (arXiv:2412.17747), whose soft tokens another model makes in one pass.
    """

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the vectors that are moved, as large as the embeddings, and the projection."""
        _require_room(self, self.backbone, sizes, readings=2)
        self.start = _soft_tokens(self.backbone, sizes, generator)
        self.projection = linear(sizes.width, self.backbone.width, generator)
        self.std = _deviation(self.backbone)

    def forward(self, answer: Tensor) -> Tensor:
        """Refuse: there is no answer without its question.

        Raises:
            IncompatibleComponents: Always.
        """
        raise IncompatibleComponents("SoftTokenDecoder reads the question, too: call read(answer, batch)")

    def read(self, answer: Tensor, batch: Batch) -> Tensor:
        """Map `(B, N, D)` and the questions to `(B, L, V)`."""
        self.expect_states(answer)
        soft = self.start + self.std * self.projection(answer[:, : len(self.start)])
        asked = self.backbone.embed(batch.inputs)
        read = self.backbone.hidden(torch.cat([asked, soft.to(asked.dtype), asked], dim=1))
        with full_precision(read):
            hidden = at_least_float32(read[:, -asked.shape[1] :])
            return functional.linear(hidden, self.backbone.readout().to(hidden.dtype))


def _soft_tokens(backbone: Backbone, sizes: Sizes, generator: torch.Generator) -> nn.Parameter:
    """Draw vectors that are as large as the backbone's embeddings, `(P, W)`."""
    std = _deviation(backbone)
    return nn.Parameter(truncated_normal(sizes.prefix, backbone.width, std=std, generator=generator))


@torch.no_grad()
def _deviation(backbone: Backbone) -> float:
    """Return the standard deviation of the embeddings of the data's tokens."""
    own = torch.arange(len(backbone.head())) if backbone.ids is None else backbone.ids
    return float(backbone.vectors(own[None].to(backbone.head().device)).float().std())


def _require_room(part: UsesBackbone, backbone: Backbone, sizes: Sizes, readings: int) -> None:
    """Refuse no soft tokens, and more tokens than the backbone reads."""
    name, needed = type(part).__name__, readings * sizes.tokens + sizes.prefix
    if not sizes.prefix:
        raise IncompatibleComponents(
            f"{name} takes model.prefix for its number of soft tokens, and that is 0: set it, such as to 8"
        )
    if backbone.positions is not None and needed > backbone.positions:
        raise IncompatibleComponents(
            f"{name} lets {type(backbone).__name__} read {needed} tokens, which reads {backbone.positions} "
            "at most: give shorter sequences, or another backbone"
        )
