"""The same seed gives the same losses: in a second run, and in every version of the code."""

from __future__ import annotations

import pytest
import torch
from golden.make import LENGTH, Recipe, different, read
from overlays import runnable

RECIPES = different()
HINT = "if training was meant to change: python tests/golden/make.py"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def table():
    return read()


@pytest.fixture(params=runnable(RECIPES))
def recipe(request, folder):
    return request.param, Recipe(request.param)


def test_two_runs_are_bit_equal_and_the_first_losses_are_those_of_the_repository(recipe, table):
    """Fails if anything is drawn from global random state (exploration, say), or if a formula changes."""
    name, runs = recipe
    torch.manual_seed(1)
    first = runs.losses(LENGTH)
    torch.manual_seed(2)
    assert runs.losses(LENGTH) == first
    assert len(set(first)) == LENGTH
    assert name in table, HINT
    assert runs.golden() == pytest.approx(table[name], rel=1e-4), HINT
    assert first[: len(table[name])] == pytest.approx(table[name], rel=1e-2)  # the same run in float32


def test_the_table_names_no_recipe_that_is_gone(table):
    """Fails if a recipe is removed or renamed and its line is left."""
    assert set(table) <= set(RECIPES), HINT
