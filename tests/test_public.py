"""The public names, and that asking for the package does not wait for torch."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recurlight

SOURCE = Path(recurlight.__file__)


def fresh_python(code):
    """Run code in a new process, which has imported nothing yet."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def names_for_type_checkers():
    """Names imported under `if TYPE_CHECKING`, by module."""
    tree = ast.parse(SOURCE.read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in guarded for node in block.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname is None for node in imports for alias in node.names)
    return {node.module.removeprefix("recurlight."): {alias.name for alias in node.names} for node in imports}


@pytest.mark.parametrize("name", recurlight.__all__)
def test_every_public_name_is_what_its_home_calls_so(name):
    value = getattr(recurlight, name)
    home = importlib.import_module(f"recurlight.{recurlight._HOME_OF[name]}")
    assert value is getattr(home, name)
    assert name in home.__all__
    if inspect.isclass(value) or inspect.isfunction(value):  # not an alias of types, nor a number
        assert value.__module__.startswith("recurlight.")
        assert inspect.getdoc(value)


@pytest.mark.parametrize(
    "name", [n for n in recurlight.__all__ if hasattr(getattr(recurlight, n), "_fields")]
)
def test_help_says_what_the_fields_of_a_record_are(name):
    record = getattr(recurlight, name)
    text = inspect.getdoc(record)
    assert [field for field in record._fields if not re.search(rf"^    {field}: \S.+", text, re.M)] == []


def test_type_checkers_see_the_same_names():
    homes = {home: set(names) for home, names in recurlight._HOMES.items()}
    assert names_for_type_checkers() == homes


def test_no_name_has_two_homes():
    assert (
        len(set(recurlight.__all__)) == len(recurlight.__all__) == sum(map(len, recurlight._HOMES.values()))
    )


@pytest.mark.parametrize("axis", ["refiners", "truncation", "halting", "cells", "supervision"])
def test_every_exported_strategy_is_public(axis):
    """An axis may export functions and records that only extensions need, but its classes to choose from."""
    home = importlib.import_module(f"recurlight.{axis}")
    base = {"refiners": "Refiner", "truncation": "GradientTruncation", "halting": "Halting", "cells": "Sized"}
    base["supervision"] = "Supervision"
    kinds = {name for name in home.__all__ if inspect.isclass(getattr(home, name))}
    strategies = {name for name in kinds if issubclass(getattr(home, name), getattr(recurlight, base[axis]))}
    assert strategies
    assert strategies <= set(recurlight.__all__)


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'torch', 'lightning', 'numpy', 'torchmetrics', 'jsonargparse'}"
    assert fresh_python(f"import sys, recurlight; print({heavy} & set(sys.modules))") == "set()\n"


def test_a_name_is_loaded_on_first_use_and_kept():
    code = (
        "import sys, recurlight\n"
        "from recurlight import DataError\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'DataError' in vars(recurlight)\n"
        "assert recurlight.DataError is DataError\n"
    )
    fresh_python(code)


def test_star_import_and_completion_offer_the_public_names():
    names = {}
    exec("from recurlight import *", names)
    assert set(recurlight.__all__) <= set(names)
    assert dir(recurlight) == sorted(recurlight.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'recurlight' has no attribute 'LastCycle'"):
        recurlight.LastCycle  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Nothing' from 'recurlight'"):
        from recurlight import Nothing  # noqa: F401


@pytest.mark.parametrize(
    "name",
    ["IGNORE", "Augmentation", "Questions", "Rules", "Symmetry", "Variants", "draws", "full_precision"],
)
def test_what_parts_of_ones_own_need_is_public(name):
    """A learnt head, a loss, an augmentation and a task made by a rule cannot be written without these."""
    assert name in recurlight.__all__
