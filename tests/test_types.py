"""Sizes, and parts that are built when they learn them."""

from __future__ import annotations

import pytest
import torch
from helpers import seeded
from torch import nn

from recurlight.errors import IncompatibleComponents, RecurlightError, suggestion
from recurlight.types import Sized, Sizes

SIZES = Sizes(vocab=3, tokens=4, width=5, prefix=2)


class Part(Sized):
    def __init__(self):
        super().__init__()
        self.built = 0

    def build(self, sizes, generator):
        self.built += 1
        self.weight = nn.Parameter(torch.randn(sizes.positions, sizes.width, generator=generator))


def test_positions_are_prefix_and_tokens():
    assert SIZES.positions == 6
    assert Sizes(vocab=3, tokens=4, width=5).positions == 4
    assert Sizes(3, 4, 5).tasks == 1


def test_a_part_is_built_once_from_the_generator():
    part = Part()
    assert part.sizes is None
    part.bind(SIZES, seeded(1))
    assert torch.equal(part.weight, torch.randn(6, 5, generator=seeded(1)))
    weight, generator = part.weight, seeded(2)
    part.bind(SIZES, generator)
    assert part.built == 1
    assert part.weight is weight
    assert torch.equal(torch.rand(3, generator=generator), torch.rand(3, generator=seeded(2)))


@pytest.mark.parametrize("change", [{"vocab": 4}, {"tokens": 5}, {"width": 6}, {"prefix": 0}, {"tasks": 2}])
def test_other_sizes_are_refused_by_name_and_keep_the_weights(change):
    part, other = Part(), SIZES._replace(**change)
    part.bind(SIZES, seeded())
    weight = part.weight
    with pytest.raises(IncompatibleComponents) as caught:
        part.bind(other, seeded())
    assert str(caught.value) == (
        f"Part was already built for {SIZES} and cannot serve {other}: make a new Part"
    )
    assert part.weight is weight
    assert part.sizes == SIZES


def test_a_build_that_fails_can_be_repeated():
    class Narrow(Part):
        def build(self, sizes, generator):
            if sizes.width > 5:
                raise IncompatibleComponents("too wide")
            super().build(sizes, generator)

    part = Narrow()
    with pytest.raises(IncompatibleComponents, match="too wide"):
        part.bind(SIZES._replace(width=6), seeded())
    part.bind(SIZES, seeded())
    assert part.sizes == SIZES


def test_a_part_must_say_how_it_is_built():
    with pytest.raises(TypeError, match="abstract"):
        Sized()


def test_errors_are_caught_as_values_or_together():
    assert issubclass(IncompatibleComponents, RecurlightError)
    assert issubclass(IncompatibleComponents, ValueError)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("anser", "; did you mean 'answer'?"), ("latnet", "; did you mean 'latent'?"), ("xyz", "")],
)
def test_suggestions(word, expected):
    assert suggestion(word, iter(["answer", "latent"])) == expected
