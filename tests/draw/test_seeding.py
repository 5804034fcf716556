"""The global generators at a batch are a function of seed and batch; a run has one seed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from helpers import SIZES, batch, loader, mixer, trainer
from lightning import seed_everything

from recurlight import (
    FixedHalting,
    IncompatibleComponents,
    LastCycles,
    MazeData,
    PuzzleData,
    RecursiveModule,
    SingleRefiner,
    SortingData,
    SudokuData,
)
from recurlight.checkpoints.trust import Trust
from recurlight.draw.seeding import generators_kept, seed_batch, seeded_evaluation
from recurlight.spec import describe, from_spec, to_spec


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
    one = draws(1, 2)
    assert draws(9, 9) != one
    assert draws(1, 2) == one


def test_places_draw_apart():
    """Fails if seed or batch is left out, or if they are added up."""
    places = [(seed, number) for seed in range(5) for number in range(5)]
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
    for place in ((0, 0), (0, 0), (0, 1), (1, 0)):
        with seeded_evaluation(*place):
            found.append(numbers())
    assert found[0] == found[1]
    assert len(set(found)) == 3
    assert not {*found} & {draws(0, batch) for batch in range(3)}
    seed_batch(5, 5)
    expected = numbers()
    seed_batch(5, 5)
    with seeded_evaluation(0, 0):
        numbers()
    assert numbers() == expected


@pytest.fixture
def seed_one(restored):
    seed_everything(1, verbose=False)


def made(kind=RecursiveModule, **settings):
    sizes = {"vocab_size": SIZES.vocab, "seq_len": SIZES.tokens, "width": SIZES.width, "max_segments": 3}
    parts = {"refiner": SingleRefiner(mixer()), "truncation": LastCycles(1), "halting": FixedHalting()}
    return kind(**parts, **sizes, **settings)


def test_the_seed_is_0_where_nothing_sets_one():
    assert (made().recursion.seed, SudokuData().seed, describe(made()).arguments["seed"]) == (0, 0, 0)


def test_a_common_seed_that_is_no_number_is_named(monkeypatch):
    """Fails if it ends in an error of `int`, which names no variable."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "abc")
    with pytest.raises(IncompatibleComponents, match="PL_GLOBAL_SEED is 'abc': set it to a whole number"):
        SudokuData()


def test_the_global_seed_is_that_of_the_model(seed_one):
    """Fails if weights, exploration or generators keep a seed of their own, or a given one is overruled."""
    model = made()
    assert (model.recursion.seed, model.run.seed) == (1, 1)
    for seed, same in ((1, True), (0, False), (2, False)):
        other = made(seed=seed)
        assert (other.recursion.seed, other.run.seed) == (seed, seed)
        equal = [torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True)]
        assert all(equal) == same


class Echo(PuzzleData):
    def __init__(self, **settings):
        super().__init__(vocab_size=5, grid_shape=(2, 2), **settings)

    def load(self):
        raise NotImplementedError


@pytest.mark.parametrize("kind", [SudokuData, MazeData, SortingData, Echo])
def test_the_global_seed_is_that_of_the_data(seed_one, kind):
    """Fails if a family has a default of its own, or the seed that was found is not recorded."""
    assert kind().seed == 1
    assert kind(seed=0).seed == 0
    spec = to_spec(kind())
    assert spec["init_args"]["seed"] == 1
    seed_everything(2, verbose=False)
    assert from_spec(spec, Trust([__name__])).seed == 1


class Keeps(Echo):
    def __init__(self, **settings):
        super().__init__()


class Own(Echo):
    def __init__(self, seed: int = 3):
        super().__init__()


@pytest.mark.parametrize(("kind", "given", "seed"), [(Keeps, (), 1), (Own, (), 3), (Own, (4,), 4)])
def test_a_seed_that_is_not_passed_on_is_that_of_the_record(seed_one, kind, given, seed):
    """Fails if a class that forgets to pass its settings on is made with another seed from its record."""
    data = kind(*given)
    assert data.seed == seed
    assert to_spec(data)["init_args"]["seed"] == seed
    seed_everything(2, verbose=False)
    assert from_spec(to_spec(data), Trust([__name__])).seed == seed


class Fixed(Echo):
    def __init__(self) -> None:
        super().__init__()


def test_what_cannot_record_a_seed_keeps_0(seed_one):
    """Fails if a checkpoint's data would be other data, the test puzzles among them, in another process."""
    assert Fixed().seed == 0
    assert "init_args" not in to_spec(Fixed())


def test_a_checkpoint_records_the_seed_that_was_used(seed_one, tmp_path):
    """Fails if the argument is recorded as it was given, which was not at all."""
    model = made()
    run = trainer(max_steps=1)
    run.fit(model, loader([batch(4)]))
    run.save_checkpoint(tmp_path / "one.ckpt")
    seed_everything(2, verbose=False)
    again = RecursiveModule.load_from_checkpoint(tmp_path / "one.ckpt")
    assert (again.recursion.seed, describe(again)) == (1, describe(model))
    with pytest.warns(UserWarning, match="of a run with model.seed 1 and this one has 2: training goes on"):
        trainer(max_steps=2).fit(made(), loader([batch(4)] * 2), ckpt_path=tmp_path / "one.ckpt")
