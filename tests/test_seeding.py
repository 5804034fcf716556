"""The global generators at a training batch are a function of seed, batch and rank."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from recurlight.seeding import generators_kept, seed_batch, seeded_evaluation


@pytest.fixture(autouse=True)
def restored():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    torch.set_rng_state(before[0])
    random.setstate(before[1])
    np.random.set_state(before[2])  # noqa: NPY002


def numbers() -> tuple[float, float, float]:
    return torch.rand(()).item(), random.random(), np.random.random()  # noqa: NPY002


def draws(*place: int) -> tuple[float, float, float]:
    seed_batch(*place)
    return numbers()


def test_the_same_place_draws_the_same():
    """Fails if a generator is left out."""
    one = draws(1, 2, 3)
    assert draws(9, 9, 9) != one
    assert draws(1, 2, 3) == one


def test_places_draw_apart():
    """Fails if seed, batch or rank is left out, or if they are added up."""
    places = [(seed, number, rank) for seed in range(3) for number in range(3) for rank in range(3)]
    for generator in zip(*(draws(*place) for place in places), strict=True):
        assert len(set(generator)) == len(places)


def test_any_seed_will_do():
    """Fails if a large or negative seed overflows one of the generators."""
    assert draws(2**63, 10**12) != draws(-1, 10**12)


def test_generators_are_given_back_whatever_happens():
    """Fails if a generator is left out, or if an error inside keeps them."""
    expected = draws(1, 2)
    seed_batch(1, 2)

    def drawing_and_failing():
        with generators_kept():
            numbers()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drawing_and_failing()
    assert numbers() == expected


def test_evaluation_draws_as_a_function_of_its_place_and_apart_from_training():
    """Fails if a batch of evaluation draws what one of training does, or leaves its seed behind."""
    seed_batch(5, 5)
    found = []
    for place in ((0, 0), (0, 0), (0, 1), (1, 0), (0, 0, 1)):
        with seeded_evaluation(*place):
            found.append(numbers())
    assert found[0] == found[1]
    assert len(set(found)) == 4
    assert not {*found} & {draws(0, batch) for batch in range(3)}
    seed_batch(5, 5)
    expected = numbers()
    seed_batch(5, 5)
    with seeded_evaluation(0, 0):
        numbers()
    assert numbers() == expected
