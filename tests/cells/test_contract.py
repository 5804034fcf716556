"""What every exported cell must do, and the published sizes."""

from __future__ import annotations

import inspect
from functools import partial

import pytest
import torch
from helpers import (
    SIZES,
    attention,
    batch,
    bound,
    causal,
    convolution,
    convolutions,
    mixer,
    pooling,
    pre_norm,
    seeded,
)
from torch import nn

from recurlight import cells
from recurlight.cells import (
    CausalTransformerCell,
    ConvCell,
    ConvTransformerCell,
    MixerCell,
    PoolingCell,
    PreNormCell,
    TransformerCell,
)
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.truncation import EveryUpdate
from recurlight.types import Sizes

CELLS = {
    MixerCell: mixer,
    TransformerCell: attention,
    ConvTransformerCell: convolution,
    ConvCell: convolutions,
    PreNormCell: pre_norm,
    PoolingCell: pooling,
    CausalTransformerCell: causal,
}


BUILT = {kind.__name__: build for kind, build in CELLS.items()} | {
    "TransformerCell on a grid": partial(attention, rotary_axes=2),
    "PreNormCell on a grid": partial(pre_norm, rotary_axes=2),
    "ConvTransformerCell on a grid": partial(convolution, rotary_axes=2, kernel_axes=2, kernel=3),
    "ConvCell on a grid": partial(convolutions, axes=2),
    "ConvCell without norm": partial(convolutions, norm=False),
}


@pytest.fixture(params=BUILT.values(), ids=BUILT)
def build(request):
    return request.param


def test_every_exported_cell_is_tested():
    exported = (getattr(cells, name) for name in cells.__all__)
    assert {kind for kind in exported if not inspect.isabstract(kind)} == set(CELLS)


@pytest.mark.parametrize(
    "argument", [{"layers": 0}, {"layers": -1}, {"expansion": 0.0}, {"expansion": -4.0}, {"multiple": 0}]
)
@pytest.mark.parametrize("kind", [MixerCell, TransformerCell, ConvTransformerCell])
def test_sizes_that_leave_nothing_to_learn_with_are_refused(kind, argument):
    """Breaks when a cell of no layers, which is the identity, trains."""
    ((name, value),) = argument.items()
    with pytest.raises(IncompatibleComponents, match=f"^{kind.__name__} got {name}={value}: give "):
        kind(**argument)


MASKED = {
    "TransformerCell": partial(attention, rotary_axes=2),
    "ConvTransformerCell": partial(convolution, rotary_axes=2, kernel_axes=2, kernel=3),
    "PreNormCell": partial(pre_norm, rotary_axes=2),
    "ConvCell": convolutions,
    "ConvCell on a grid": partial(convolutions, axes=2),
}


@pytest.mark.parametrize("kind", MASKED)
def test_nothing_filled_depends_on_padding(kind):
    """Breaks when a cell that is told what is filled looks at the rest, or changes what is whole."""
    cell = bound(MASKED[kind](2, masked=True)).double()
    x = torch.randn(3, SIZES.positions, SIZES.width, generator=seeded(), dtype=torch.float64)
    filled = torch.rand(3, SIZES.positions, generator=seeded(1)) < 0.6
    filled[2] = True
    other = torch.where(filled[..., None], x, torch.randn(x.shape, generator=seeded(2), dtype=x.dtype))
    whole = cell(x)
    cell.filled = filled
    torch.testing.assert_close(cell(x)[filled], cell(other)[filled], rtol=0, atol=1e-12)
    torch.testing.assert_close(cell(x)[2], whole[2], rtol=0, atol=1e-12)
    assert (cell(x) - whole)[:2].abs().amax((1, 2)).min() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_keeps_shape_and_dtype(build, dtype):
    x = torch.randn(3, SIZES.positions, SIZES.width, generator=seeded()).to(dtype)
    y = bound(build()).to(dtype)(x)
    assert (y.shape, y.dtype) == (x.shape, dtype)
    assert y.isfinite().all()


def test_follows_autocast(build):
    cell = bound(build())
    x = torch.randn(3, SIZES.positions, SIZES.width, generator=seeded()).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = cell(x)
    assert y.dtype == torch.bfloat16
    assert {weight.dtype for weight in cell.parameters()} == {torch.float32}
    torch.testing.assert_close(y.float(), cell(x.float()), rtol=0, atol=0.1)


def test_rows_are_independent(build):
    cell = bound(build()).double()
    x = torch.randn(4, SIZES.positions, SIZES.width, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(cell(x)[1:3], cell(x[1:3]), rtol=0, atol=1e-12)


def test_weights_are_drawn_from_the_given_generator_alone(build):
    def weights(seed):
        return torch.cat([weight.flatten() for weight in bound(build(), seed=seed).parameters()])

    first = weights(1)
    torch.rand(7)  # whatever global random state holds
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_layers_have_weights_of_their_own(build):
    cell = bound(build(layers=3))
    weights = list(cell.parameters())
    assert len({id(weight) for weight in weights}) == 3 * len(list(bound(build()).parameters()))
    first, second = (block.state_dict() for block in cell.blocks[:2])
    assert not torch.equal(first[[*first][-1]], second[[*second][-1]])


PUBLISHED = {
    "TRM mixer": (16, lambda: TwoLevelRefiner(MixerCell()), CorrectnessHalting, 5.03),
    "TRM attention": (16, lambda: TwoLevelRefiner(TransformerCell()), CorrectnessHalting, 6.83),
    "URM": (1, lambda: SingleRefiner(ConvTransformerCell()), CorrectnessHalting, 13.67),
    "HRM": (1, lambda: TwoLevelRefiner(TransformerCell(4), TransformerCell(4), 2), QLearningHalting, 27.3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_at_the_published_size(name, monkeypatch):
    """Counted on models whose weights are not drawn, which would take seconds."""
    prefix, refiner, halting, millions = PUBLISHED[name]
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, **_: tensor.zero_())
    sizes = Sizes(vocab=11, tokens=81, width=512, prefix=prefix)
    model = Recursion(sizes, refiner(), EveryUpdate(), halting(), cycles=2)
    count = sum(weight.numel() for weight in model.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=2e-3)
    assert model.encoder(*batch(1, sizes=sizes)[::2]).shape == (1, 81 + prefix, 512)
