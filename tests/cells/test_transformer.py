"""The published attention block, written out again with loops and complex numbers."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, bound, seeded

from recurlight.cells import TransformerCell
from recurlight.cells.layers import coordinates, rotary_tables, rotate, swiglu_width
from recurlight.errors import IncompatibleComponents
from recurlight.types import Sizes

PREFIXED = Sizes(vocab=6, tokens=9, width=16, prefix=3)


def rms(x):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def silu(x):
    return x / (1 + (-x).exp())


def swiglu(x, gate_up, down):
    inner = gate_up.shape[0] // 2
    return torch.einsum("...i,oi->...o", silu(x @ gate_up[:inner].T) * (x @ gate_up[inner:].T), down)


def turn(x, base):
    """Rotate channel pairs `(c, c + half)` of `(N, head)` by `n * base^(-2c/head)`, as complex numbers."""
    positions, head = x.shape
    half = head // 2
    angle = torch.tensor([[n * base ** (-2 * c / head) for c in range(half)] for n in range(positions)])
    turned = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], dim=-1)


def attend(x, qkv, out, heads, base):
    width = x.shape[-1]
    size, rows = width // heads, []
    for row in x:
        mixed = []
        for head in range(heads):
            q, k, v = (row @ qkv[part * width + head * size :][:size].T for part in range(3))
            if base is not None:
                q, k = turn(q, base), turn(k, base)
            mixed.append(torch.softmax(q @ k.T / size**0.5, dim=-1) @ v)
        rows.append(torch.cat(mixed, dim=-1) @ out.T)
    return torch.stack(rows)


def expected(x, cell):
    for block in cell.blocks:
        attention, feedforward = block.attention, block.feedforward
        x = rms(x + attend(x, attention.qkv.weight, attention.out.weight, cell.heads, cell.rotary_base))
        x = rms(x + swiglu(x, feedforward.gate_up.weight, feedforward.down.weight))
    return x


@pytest.fixture(autouse=True)
def wide():
    """The formula runs in float64 whatever a helper creates."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("base", [10000.0, 10.0, None])
@pytest.mark.parametrize("sizes", [SIZES, PREFIXED], ids=["tokens", "prefix"])
def test_equals_the_formula(sizes, base):
    cell = bound(TransformerCell(layers=2, heads=4, rotary_base=base, multiple=16), sizes)
    x = torch.randn(3, sizes.positions, sizes.width, generator=seeded(1))
    torch.testing.assert_close(cell(x), expected(x, cell), rtol=0, atol=1e-11)


def test_single_precision_agrees_with_the_formula():
    cell = bound(TransformerCell(layers=2, heads=4, multiple=16))
    x = torch.randn(2, SIZES.positions, SIZES.width, generator=seeded(1))
    wanted = expected(x, cell)
    torch.testing.assert_close(cell.float()(x.float()).double(), wanted, rtol=0, atol=1e-5)


def test_without_rotation_positions_are_interchangeable():
    order = torch.randperm(SIZES.tokens, generator=seeded(2))
    x = torch.randn(2, SIZES.tokens, SIZES.width, generator=seeded(1))
    plain = bound(TransformerCell(1, heads=2, rotary_base=None, multiple=16))
    rotary = bound(TransformerCell(1, heads=2, multiple=16))
    torch.testing.assert_close(plain(x[:, order]), plain(x)[:, order], rtol=0, atol=1e-11)
    assert (rotary(x[:, order]) - rotary(x)[:, order]).abs().max() > 1e-3


@pytest.mark.parametrize(("width", "inner"), [(512, 1536), (97, 512), (16, 256), (384, 1024)])
def test_inner_width_is_rounded_up_to_256(width, inner):
    assert swiglu_width(width, 4.0) == inner


@pytest.mark.parametrize(("heads", "width"), [(3, 16), (16, 16)])
def test_heads_must_divide_the_width_into_even_parts(heads, width):
    with pytest.raises(IncompatibleComponents) as caught:
        bound(TransformerCell(heads=heads), Sizes(6, 16, width))
    assert f"{heads} heads do not divide width {width}" in str(caught.value)
    assert f"model.width to a multiple of {2 * heads}" in str(caught.value)


def test_weights_have_the_published_spread():
    cell = bound(TransformerCell(layers=1, heads=4), Sizes(6, 4, 256))
    for weight in cell.parameters():
        torch.testing.assert_close(weight.std() * weight.shape[1] ** 0.5, torch.ones(()), rtol=0.02, atol=0)
        assert weight.abs().max() * weight.shape[1] ** 0.5 < 2.28


RECTANGLE = Sizes(vocab=6, tokens=54, width=16, prefix=2, grid=(6, 9))


def turn_grid(x, base, sizes):
    """Rotate by rows in the first half of the channel pairs and by columns in the second."""
    (positions, head), prefix = x.shape, sizes.prefix
    columns, half = sizes.grid[1] if sizes.grid else round(sizes.tokens**0.5), head // 2
    places = [
        (n - prefix, n - prefix) if n < prefix else divmod(n - prefix, columns) for n in range(positions)
    ]
    turns = [base ** (-(c % (half // 2)) / (half // 2)) for c in range(half)]
    angle = torch.tensor([[place[2 * c // half] * turn for c, turn in enumerate(turns)] for place in places])
    turned = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], dim=-1)


@pytest.mark.parametrize("sizes", [SIZES, PREFIXED, RECTANGLE], ids=["tokens", "prefix", "rectangle"])
def test_two_axes_equal_the_formula(sizes, monkeypatch):
    """Fails if rows and columns change places, share channels, or the prefix stands on the grid."""
    monkeypatch.setitem(globals(), "turn", lambda x, base: turn_grid(x, base, sizes))
    cell = bound(TransformerCell(layers=2, heads=2, rotary_axes=2, rotary_base=50.0, multiple=16), sizes)
    x = torch.randn(3, sizes.positions, sizes.width, generator=seeded(1))
    torch.testing.assert_close(cell(x), expected(x, cell), rtol=0, atol=1e-11)


def test_two_axes_see_offsets_only():
    """Fails if the angle is no multiple of row and column: a moved pattern has other scores."""
    small, large = (coordinates(Sizes(6, side * side, 16), 2) for side in (3, 5))
    scores = []
    for places in (small, large):
        cos, sin = rotary_tables(places, 16, 10.0, torch.float64)
        vector = torch.ones(1, 1, len(places), 16)
        q = rotate(vector, cos, sin)[0, 0]
        scores.append(q @ q.T)
    inner = [6, 7, 8, 11, 12, 13, 16, 17, 18]  # the middle of 5 x 5
    torch.testing.assert_close(scores[0], scores[1][inner][:, inner], rtol=0, atol=1e-12)


def test_the_score_of_every_pair_of_cells_is_that_of_its_offsets():
    """Fails if anything but rows and columns between two cells of 6 x 9 turns query against key."""
    head, base = 8, 10.0
    q, k = torch.randn(2, head, generator=seeded(3))
    places = coordinates(RECTANGLE, 2)
    cos, sin = rotary_tables(places, head, base, torch.float64)
    turned = [rotate(x.expand(1, 1, len(places), head), cos, sin)[0, 0] for x in (q, k)]
    rates = [1.0, base**-0.5] * 2  # two channel pairs for the row, two for the column

    def score(down, right):
        total = 0.0
        for pair, rate in enumerate(rates):
            angle = torch.tensor((down, right)[pair // 2] * rate)
            (a, b), (c, d) = ((x[pair], x[pair + head // 2]) for x in (q, k))
            total += (a * c + b * d) * angle.cos() + (a * d - b * c) * angle.sin()
        return total

    cells = [(-2, -2), (-1, -1), *((row, column) for row in range(6) for column in range(9))]
    wanted = torch.tensor([[score(r - i, c - j) for i, j in cells] for r, c in cells])
    torch.testing.assert_close(turned[0] @ turned[1].T, wanted, rtol=0, atol=1e-12)


def test_weights_do_not_depend_on_the_grid():
    """Fails if anything of the positions becomes a weight: a checkpoint could not move to another size."""
    states = [
        bound(
            TransformerCell(1, heads=2, rotary_axes=2, multiple=16), Sizes(6, size, 16, grid=grid)
        ).state_dict()
        for size, grid in ((9, None), (54, (6, 9)))
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("sizes", "heads", "message"),
    [
        (
            Sizes(6, 15, 16),
            2,
            "^TransformerCell: 15 tokens are no square grid, which rotary_axes=2 needs: set rotary_axes to 1",
        ),
        (
            Sizes(6, 16, 16, grid=(1, 16)),
            2,
            "^TransformerCell: 1 x 16 tokens are no grid, which rotary_axes=2 needs: set rotary_axes to 1",
        ),
        (Sizes(6, 16, 12), 2, "2 heads do not divide width 12 .* model.width to a multiple of 8"),
    ],
)
def test_two_axes_refuse_what_has_none(sizes, heads, message):
    """Fails if a sequence is taken for a grid, or a head's channels cannot be halved twice."""
    with pytest.raises(IncompatibleComponents, match=message):
        bound(TransformerCell(heads=heads, rotary_axes=2), sizes)
