"""The checks of cells: our own pass, and each broken one fails the check that is named after its fault."""

from __future__ import annotations

import pytest
import torch
from helpers import attention, causal, convolution, convolutions, mixer, pooling, pre_norm
from torch import nn

from recurlight import cells, draw
from recurlight.testing import check_cell
from recurlight.types import Sized

NO_COMPILER = {"compile": "takes a second, and is tried with refiners"}
OURS = {
    "MixerCell": mixer,
    "TransformerCell": attention,
    "ConvTransformerCell": convolution,
    "ConvCell": convolutions,
    "PreNormCell": pre_norm,
    "PoolingCell": pooling,
    "CausalTransformerCell": causal,
}


@pytest.mark.parametrize("name", OURS)
def test_our_cells_pass(name):
    """Fails if a check is stricter than the contract."""
    assert set(check_cell(OURS[name], exclude=NO_COMPILER).values()) == {None}


def test_every_exported_cell_is_tried():
    """Fails if a new cell does not stand above."""
    assert {name for name in cells.__all__ if name.endswith("Cell")} == set(OURS)


class Plain(Sized):
    """A right cell, from which each broken one differs in one thing."""

    def build(self, sizes, generator):
        self.weight = nn.Parameter(torch.randn(sizes.width, sizes.width, generator=generator) / sizes.width)

    def forward(self, x):
        return torch.tanh(x @ self.weight.to(x.dtype))


class Narrow(Plain):
    def forward(self, x):
        return super().forward(x.float())


class Unseeded(Plain):
    def build(self, sizes, generator):
        self.weight = nn.Parameter(torch.randn(sizes.width, sizes.width) / sizes.width)


class Mixing(Plain):
    def forward(self, x):
        y = super().forward(x)
        return y - y.mean(0)


class Counting(Plain):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1 + 1e-3 * self.calls)


class Idle(Plain):
    def build(self, sizes, generator):
        super().build(sizes, generator)
        self.unused = nn.Parameter(torch.zeros(()))


class Dropping(Plain):
    def forward(self, x):
        return super().forward(draw.dropout(x, 0.1, self.training))


ONE = Plain()
BROKEN = {
    "composes": lambda: ONE,
    "shape": Narrow,
    "weights": Unseeded,
    "rows": Mixing,
    "randomness": Counting,
    "resume": Counting,
    "gradients": Idle,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_cell_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_cell(BROKEN[name], exclude=NO_COMPILER, raises=False)[name]
    assert found
    assert "\n" not in found


@pytest.mark.parametrize("build", [Plain, Dropping])
def test_a_right_cell_passes(build):
    """Fails if a short cell of one's own, or one that draws by the rule, cannot pass."""
    assert set(check_cell(build, exclude=NO_COMPILER).values()) == {None}
