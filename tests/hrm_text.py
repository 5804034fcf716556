"""HRM-Text as the public implementation has it, made of our parts, and what its weights are called there."""

from __future__ import annotations

import torch
from einops import rearrange
from golden.make_hrm_text import BACK, CYCLES, LATENT_STEPS
from torch import Tensor, nn

from recurlight import Batch, FixedHalting, GradientWindow, QuestionStartRefiner, Recursion, Sized, Sizes
from recurlight.cells.layers import Attention, SwiGLU, coordinates, rms_norm
from recurlight.numerics import linear


class LastOfEachCycle(GradientWindow):
    """The library's window: in each cycle the last latent steps, so many as are told, and the answer."""

    def mask(self, schedule, cycles):
        counts = [1] * (cycles - len(BACK)) + BACK
        return tuple(step >= LATENT_STEPS - count for count in counts for step in range(LATENT_STEPS + 1))


class GatedAttention(Attention):
    """Causal attention, each number of which goes through a gate of its own."""

    def __init__(self, sizes: Sizes, heads: int, generator: torch.Generator) -> None:
        super().__init__(sizes.width, heads, coordinates(sizes, 1), 10000.0, generator, causal=True)
        self.gate = linear(sizes.width, sizes.width, generator)

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        self.open = rearrange(self.gate(x).sigmoid(), "b n (h d) -> b h n d", h=self.heads)
        return super().forward(x, filled)

    def _attended(self, *parts: Tensor | None) -> Tensor:
        return self.open * super()._attended(*parts)


class Block(nn.Module):
    """Pre-norm."""

    def __init__(self, attention: nn.Module, feedforward: nn.Module) -> None:
        super().__init__()
        self.attention, self.feedforward = attention, feedforward

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(rms_norm(x))
        return x + self.feedforward(rms_norm(x))


class Stack(Sized):
    """The network of a level; its inner width is that of the model."""

    def __init__(self, layers: int, heads: int) -> None:
        super().__init__()
        self.layers, self.heads, self.blocks = layers, heads, nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        for _ in range(self.layers):
            feedforward = SwiGLU(sizes.width, 1.5, sizes.width, generator)
            self.blocks.append(Block(GatedAttention(sizes, self.heads, generator), feedforward))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return rms_norm(x)


def ours(sizes: Sizes, layers: int, heads: int) -> Recursion:
    """Compose the model, in float64."""
    refiner = QuestionStartRefiner(Stack(layers, heads), Stack(layers, heads), LATENT_STEPS)
    window = LastOfEachCycle()
    return Recursion(sizes, refiner, window, FixedHalting(), cycles=CYCLES, max_segments=1).double()


def named(recursion: Recursion) -> dict[str, nn.Parameter]:
    """Name each weight as there; where ours is several of theirs below each other, blanks divide names."""
    found = {"model.embed_tokens": recursion.encoder.token, "lm_head": recursion.decoder.head.weight}
    for stack, cell in (("L_module", recursion.refiner.latent), ("H_module", recursion.refiner.answer)):
        for place, block in enumerate(cell.blocks):
            own, mlp = f"model.{stack}.layers.{place}.self_attn", f"model.{stack}.layers.{place}.mlp"
            found |= {
                f"{own}.q_proj {own}.k_proj {own}.v_proj": block.attention.qkv.weight,
                f"{own}.o_proj": block.attention.out.weight,
                f"{own}.gate_proj": block.attention.gate.weight,
                f"{mlp}.gate_proj {mlp}.up_proj": block.feedforward.gate_up.weight,
                f"{mlp}.down_proj": block.feedforward.down.weight,
            }
    return found


def logits_and_gradients(
    recursion: Recursion, text: Tensor, pull: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits, and the gradients of `(logits * pull).sum()` by name."""
    batch = Batch(text, text, text[:, 0] * 0)
    _, segment, _ = recursion.train().segment(recursion.start(batch), batch)
    weights = named(recursion)
    found = torch.autograd.grad((segment.logits * pull).sum(), list(weights.values()))
    return segment.logits, dict(zip(weights, found, strict=True))
