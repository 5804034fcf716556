"""The checks of data: our own families pass, and each broken one fails the check named after its fault."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch

from recurlight import (
    AdditionData,
    HeatData,
    MazeData,
    ParityData,
    PermutationData,
    QueensData,
    ReversalData,
    SortingData,
    SudokuData,
    TextData,
)
from recurlight.data import PuzzleData, Puzzles, Rules, Splits, Symmetry, draws, hold_out
from recurlight.testing import check_data
from recurlight.types import IGNORE

FEW = {"num_train": 24, "num_val": 6, "num_test": 6, "batch_size": 8}
SEQUENCES = [AdditionData, ParityData, PermutationData, ReversalData, SortingData]
OURS = {kind.__name__: (lambda kind=kind: kind(**FEW)) for kind in SEQUENCES} | {
    "SudokuData": lambda: SudokuData(size=4, **FEW),
    "HeatData": lambda: HeatData(size=5, plates=2, **FEW),
    "MazeData": lambda: MazeData(size=7, **FEW),
    "QueensData": lambda: QueensData(length=6, num_train=60, num_val=6, num_test=6, batch_size=8),
}


@pytest.mark.parametrize("name", OURS)
def test_our_data_pass(name):
    """Fails if a check is stricter than the contract."""
    assert set(check_data(OURS[name]).values()) == {None}


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_our_text_passes(tmp_path, tokens):
    """Fails if a stream of text is not the same on two ranks, after a resume or with workers."""
    (tmp_path / "text.txt").write_text("".join(random.Random(0).choices("abcdefgh é", k=900)), "utf-8")
    made = partial(TextData, str(tmp_path), length=12, tokens=tokens, batch_size=8)
    assert set(check_data(made).values()) == {None}


class Echo(PuzzleData):
    """Right data, from which each broken class differs in one thing."""

    def __init__(self, size=3, **settings):
        super().__init__(vocab_size=5, grid_shape=(size, size), batch_size=8, **settings)

    def grids(self):
        return np.random.default_rng(self.seed).integers(1, 5, (40, self.seq_len))

    def load(self):
        grids = self.grids()
        return hold_out(Puzzles(grids, grids, np.zeros(40)), num_val=4, num_test=4, seed=0)


class Fields(PuzzleData):
    """Numbers asked and tokens answered, or the other way round; some are not supervised."""

    def __init__(self, asked=True, sign=1.0):
        kind = {"features": 2} if asked else {"targets": 2}
        super().__init__(vocab_size=3, grid_shape=(2, 3), batch_size=8, **kind)
        self.asked, self.sign = asked, sign

    def load(self):
        draw = np.random.default_rng(self.seed)
        tokens, numbers = draw.integers(1, 3, (40, 6)), draw.normal(size=(40, 6, 2)).astype(np.float32)
        if self.asked:
            tokens[:, 0] = IGNORE
            return hold_out(Puzzles(numbers, tokens, np.zeros(40)), num_val=4, num_test=4, seed=0)
        numbers[:, 0] = np.nan
        tokens = np.arange(1, 41)[:, None] // 2 ** np.arange(6) % 2 + 1
        return hold_out(Puzzles(tokens, numbers, np.zeros(40)), num_val=4, num_test=4, seed=0)

    def augmentation(self):
        return partial(turned, sign=self.sign)


def turned(puzzles, keys, sign):
    """The sign of all numbers of a puzzle by its key; nothing may come of a sign of infinity."""
    keep = (keys % 2 == 0)[:, None, None]
    fields = [f if f.ndim < 3 else np.where(keep, f, -sign * f) for f in puzzles]
    return Puzzles(*fields)


@pytest.mark.parametrize("asked", [True, False])
def test_numbers_beside_tokens_pass(asked):
    """Fails if NaN is taken for a difference, or either field for tokens."""
    assert set(check_data(lambda: Fields(asked)).values()) == {None}


@pytest.mark.parametrize("asked", [True, False])
def test_augmentation_that_makes_infinite_numbers_is_found(asked):
    found = check_data(lambda: Fields(asked, sign=np.inf), raises=False)
    assert "numbers that are not finite" in found["augmentation"]


class Eager(Echo):
    def __init__(self):
        super().__init__()
        _ = self.splits


class Unseeded(Echo):
    def grids(self):
        return np.random.default_rng().integers(1, 5, (40, self.seq_len))


class Leaking(Echo):
    def load(self):
        whole = super().load()
        return Splits(whole.train, whole.train.rows(slice(4)), whole.test)


def shuffle(puzzles, keys):
    order = np.random.default_rng(int(keys[0])).permutation(puzzles.inputs.shape[1])
    return puzzles._replace(inputs=puzzles.inputs[:, order], labels=puzzles.labels[:, order])


class Together(Echo):
    def augmentation(self):
        return shuffle


def beyond(puzzles, keys):
    return puzzles._replace(inputs=puzzles.inputs + 4)


class Beyond(Echo):
    def augmentation(self):
        return beyond


class Unpicklable(Echo):
    def augmentation(self):
        return lambda puzzles, keys: puzzles


def drawn(puzzles, keys):
    torch.rand(1)
    return puzzles


class Drawing(Echo):
    def augmentation(self):
        return drawn


class Undivided(Echo):
    def _share(self):
        return super()._share()._replace(rank=0)


class Flat(Echo):
    def picture(self, tokens):
        return super().picture(tokens).reshape(-1, 3)


class Turned(Echo):
    """Right symmetries and right rules, from which each broken class below differs in one thing."""

    def symmetry_group(self):
        return self.turn

    def turn(self, questions, keys):
        steps = (keys % 9).astype(np.int64)[:, None]
        return Symmetry.of((np.arange(9) + steps) % 9, np.array([0, 2, 3, 4, 1]))

    def rules(self):
        return Same()


class Same(Rules):
    def holds(self, questions, answers):
        return (questions == answers).all(dim=1)


class Unmoved(Turned):
    """Answers stay where they are."""

    def turn(self, questions, keys):
        symmetry = super().turn(questions, keys)
        return symmetry._replace(answers=torch.arange(9).expand_as(symmetry.cells))


class Unnamed(Unmoved):
    """Answers keep their names and places, and there are no rules to tell."""

    def turn(self, questions, keys):
        names = draws(keys, 0, 4).argsort(axis=1) + 1
        names = np.concatenate([np.zeros((len(keys), 1), dtype=np.int64), names], axis=1)
        symmetry = Symmetry.of(np.tile(np.arange(9), (len(keys), 1)), names)
        return symmetry._replace(inputs=torch.arange(5).expand_as(symmetry.inputs))

    def rules(self):
        return None


class Lossy(Turned):
    """Two tokens get one name."""

    def turn(self, questions, keys):
        symmetry = super().turn(questions, keys)
        return Symmetry.of(symmetry.cells.numpy(), np.array([0, 2, 2, 4, 1]))


class Mixed(Turned):
    """Rows are turned by the first one's key."""

    def turn(self, questions, keys):
        return super().turn(questions, np.full_like(keys, keys[0]))


class Idle(Turned):
    def turn(self, questions, keys):
        return Symmetry.of(np.tile(np.arange(9), (len(keys), 1)), np.arange(5))


class Ruled(Echo):
    """Rules of its own, and no symmetries."""

    kind = Same

    def rules(self):
        return self.kind()


class Strict(Ruled):
    class kind(Same):
        def holds(self, questions, answers):
            return super().holds(questions, answers) & (questions[:, 0] != 2)


class Lax(Ruled):
    class kind(Same):
        def holds(self, questions, answers):
            return questions[:, 0] == questions[:, 0]


class Common(Ruled):
    class kind(Same):
        def holds(self, questions, answers):
            return super().holds(questions, answers).all().expand(len(questions))


class Several(Ruled):
    class kind(Same):
        def holds(self, questions, answers):
            return questions == answers


BROKEN = {
    "symmetries": Unmoved,
    "symmetries ": Unnamed,
    "symmetries  ": Lossy,
    "symmetries   ": Mixed,
    "symmetries    ": Idle,
    "rules": Strict,
    "rules ": Lax,
    "rules  ": Common,
    "rules   ": Several,
    "composes": Eager,
    "seed": Unseeded,
    "apart": Leaking,
    "augmentation": Together,
    "augmentation ": Beyond,
    "ranks": Undivided,
    "workers": Unpicklable,
    "randomness": Drawing,
    "looks": Flat,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_are_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_data(BROKEN[name], raises=False)[name.strip()]
    assert found
    assert "\n" not in found


def test_right_data_pass():
    """Fails if data of a few lines cannot pass."""
    assert set(check_data(Echo).values()) == {None}
    assert set(check_data(Turned).values()) == {None}


def test_each_fault_of_symmetries_and_rules_is_told_in_its_own_words():
    """Fails if one clause of a check finds what another should, and looks at nothing itself."""
    names = [name for name in BROKEN if name.strip() in ("symmetries", "rules")]
    found = [check_data(BROKEN[name], raises=False)[name.strip()] for name in names]
    assert len(set(found)) == len(names)
