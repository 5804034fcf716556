"""The pieces of the published blocks: RMS norm, SwiGLU, rotary attention. No biases, no trained norms."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recurlight.cells.memory import Remembering
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import full_precision, linear
from recurlight.spec.given import within
from recurlight.types import Sizes

__all__ = [
    "Attention",
    "SwiGLU",
    "check_cell",
    "coordinates",
    "grid_of",
    "inner_multiple",
    "rms_norm",
    "rotary_tables",
    "rotate",
    "swiglu_width",
]

EPSILON = 1e-5
PUBLISHED_MULTIPLE, SMALL_MULTIPLE = 256, 32


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root mean square over the last axis, `x / sqrt(mean(x^2) + 1e-5)`, in the dtype of `x`.

    Example:
        >>> rms_norm(torch.tensor([[3.0, 3.0]]))
        tensor([[1.0000, 1.0000]])
    """
    if not torch.is_autocast_enabled(x.device.type):
        return functional.rms_norm(x, (x.shape[-1],), eps=EPSILON)
    with full_precision(
        x
    ):  # on CUDA autocast would copy `x` to float32 and back; the kernel sums in it anyway
        return functional.rms_norm(x, (x.shape[-1],), eps=EPSILON)


def swiglu_width(width: int, expansion: float, multiple: int = 256) -> int:
    """Return the inner width of a SwiGLU: `expansion * width * 2/3`, rounded up to a multiple.

    Example:
        >>> swiglu_width(512, 4.0), swiglu_width(97, 4.0), swiglu_width(36, 4.0, multiple=32)
        (1536, 512, 96)
    """
    return -(-round(expansion * width * 2 / 3) // multiple) * multiple


def inner_multiple(multiple: int | None, width: int) -> int:
    """Return what inner widths are rounded up to: as asked, else 256 from model width 256 on, 32 below.

    Example:
        >>> inner_multiple(None, 512), inner_multiple(None, 64), inner_multiple(16, 512)
        (256, 32, 16)
    """
    return multiple or (PUBLISHED_MULTIPLE if width >= PUBLISHED_MULTIPLE else SMALL_MULTIPLE)


class SwiGLU(nn.Module):
    """Gated feed-forward over the last axis, `down(silu(gate) * up)`, gate and up in one projection.

    Args:
        width: Size of the last axis.
        expansion: See `swiglu_width`.
        multiple: See `swiglu_width`.
        generator: Draws the weights.

    Reference:
        Shazeer 2020, "GLU variants improve transformer" (arXiv:2002.05202).
    """

    def __init__(self, width: int, expansion: float, multiple: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = swiglu_width(width, expansion, multiple)
        self.gate_up = linear(width, 2 * inner, generator)
        self.down = linear(inner, width, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., width)` to the same shape."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        result: Tensor = self.down(functional.silu(gate) * up)
        return result


def check_cell(
    owner: str, layers: int, heads: int, expansion: float, rotary_base: float | None, multiple: int | None
) -> None:
    """Require numbers that make a cell.

    Raises:
        IncompatibleComponents: With the argument.
    """
    within(owner, "layers", layers, 1)
    within(owner, "heads", heads, 1)
    within(owner, "expansion", expansion, above=0)
    within(owner, "rotary_base", 1.0 if rotary_base is None else rotary_base, above=0)
    within(owner, "multiple", 1 if multiple is None else multiple, 1)


def grid_of(sizes: Sizes, owner: str, setting: str) -> tuple[int, int]:
    """Return the rows and columns that the tokens are; those of a square where nothing tells.

    Args:
        sizes: Sizes of the composition.
        owner: Class that needs a grid, for messages.
        setting: Its argument that asks for one.

    Raises:
        IncompatibleComponents: They are one row, or nothing tells and they are no square.

    Example:
        >>> grid_of(Sizes(vocab=6, tokens=54, width=8, grid=(6, 9)), "MyCell", "axes")
        (6, 9)
    """
    side = math.isqrt(sizes.tokens)
    rows, columns = (side, side) if sizes.grid is None else sizes.grid
    if rows * columns != sizes.tokens:
        found = f"{sizes.tokens} tokens are no square grid, which {setting}=2 needs"
    elif min(rows, columns) == 1 < sizes.tokens:
        found = f"{rows} x {columns} tokens are no grid, which {setting}=2 needs"
    else:
        return rows, columns
    raise IncompatibleComponents(
        f"{owner}: {found}: set {setting} to 1, or give data whose grid_shape has rows and columns"
    )


def coordinates(sizes: Sizes, axes: int, owner: str = "the cell") -> Tensor:
    """Return where each position stands, `(N, axes)` int64: in the sequence, or in a grid.

    With two axes, token `t` of a grid of `C` columns stands at `(t // C, t % C)`, and the prefix before it at
    `(-P, -P)` to `(-1, -1)`, which is the same in grids of all sizes.

    Args:
        sizes: Sizes of the composition.
        axes: 1 or 2.
        owner: Class that asks, for messages.

    Raises:
        IncompatibleComponents: The tokens are no grid, see `grid_of`.

    Example:
        >>> coordinates(Sizes(vocab=6, tokens=6, width=8, prefix=1, grid=(2, 3)), axes=2).tolist()
        [[-1, -1], [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    """
    if axes == 1:
        return torch.arange(sizes.positions)[:, None]
    columns = grid_of(sizes, owner, "rotary_axes")[1]
    place = torch.arange(sizes.tokens)
    grid = torch.stack([place // columns, place % columns], dim=1)  # (L, 2)
    before = torch.arange(-sizes.prefix, 0)[:, None].expand(-1, 2)
    return torch.cat([before, grid])


def rotary_tables(places: Tensor, head: int, base: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the cosine and sine tables of rotary position embedding, rotate-half layout, each `(N, head)`.

    The pairs of channels `c` and `c + head/2` are dealt out to the axes in equal runs; pair `i` of the `k`
    of an axis turns by the angle `place * base**(-i/k)`.

    Args:
        places: Where each position stands, `(N, axes)`, see `coordinates`.
        head: Channels of a head, a multiple of twice the axes.
        base: Base of the frequencies.
        dtype: Precision of the tables.

    Reference:
        Su et al. 2021, "RoFormer" (arXiv:2104.09864).
    """
    share = head // places.shape[1]
    frequency = base ** (-torch.arange(0, share, 2, dtype=dtype) / share)  # (share/2,)
    angle = (places.to(dtype)[:, :, None] * frequency).flatten(1)  # (N, head/2)
    angle = torch.cat([angle, angle], dim=-1)  # (N, head)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate channel pairs of `x`, `(B, H, N, head)`, in the tables' precision; returns the dtype of `x`."""
    low, high = x.chunk(2, dim=-1)
    return (x * cos + torch.cat([-high, low], dim=-1) * sin).to(x.dtype)


class Attention(Remembering):
    """Multi-head attention over all positions, or over those up to each, rotary positions or none.

    Args:
        width: Width `D`, a multiple of `2 * heads`, or of `4 * heads` for two axes.
        heads: Number of heads.
        places: Where each position stands, `(N, axes)`, see `coordinates`.
        rotary_base: Base of the rotary frequencies, or None for no position encoding.
        generator: Draws the weights.
        causal: Let a position see those before it and itself alone. A `Memory` then tells of positions before
            the first that is given.

    Raises:
        IncompatibleComponents: The heads do not divide the width into such parts.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        width: int,
        heads: int,
        places: Tensor,
        rotary_base: float | None,
        generator: torch.Generator,
        causal: bool = False,
    ) -> None:
        super().__init__()
        part = 2 * places.shape[1]
        if heads < 1 or width % (part * heads):
            raise IncompatibleComponents(
                f"{heads} heads do not divide width {width} into parts that {part} divides: "
                f"set model.width to a multiple of {part * max(heads, 1)} or change the cell's heads"
            )
        self.heads, self.places, self.rotary_base, self.causal = heads, places, rotary_base, causal
        self.qkv = linear(width, 3 * width, generator)
        self.out = linear(width, width, generator)
        if rotary_base is not None:
            cos, sin = rotary_tables(places, width // heads, rotary_base, torch.float32)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to the same shape; with `filled`, `(B, N)` bool, nothing attends to the others."""
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        first = 0 if self.memory is None else self.memory.length
        if self.rotary_base is not None:
            tables = self.tables(self.rotary_base, x.dtype, q.shape[-1])
            cos, sin = (table[first : first + x.shape[1]] for table in tables)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.memory is not None:
            k, v = self.memory.extend(k, v)
        mixed = self._attended(q, k, v, filled)
        result: Tensor = self.out(rearrange(mixed, "b h n d -> b n (h d)"))
        return result

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, filled: Tensor | None) -> Tensor:
        """Attend, `(B, H, n, D / H)` each, `k` and `v` possibly longer than `q`, which is their end."""
        mask = None if filled is None else filled[:, None, None]  # (B, 1, 1, N): of keys
        plain = self.causal and k.shape[2] == q.shape[2]
        if self.causal and not plain and q.shape[2] > 1:
            before = k.shape[2] - q.shape[2]
            mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(before)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=plain)

    def tables(self, base: float, dtype: torch.dtype, head: int) -> tuple[Tensor, Tensor]:
        """Return the stored float32 tables, or exact ones for a float64 model."""
        if dtype != torch.float64:
            return self.cos, self.sin
        cos, sin = rotary_tables(self.places, head, base, dtype)
        return cos.to(self.cos.device), sin.to(self.cos.device)
