"""Objects to plain data and back."""

from __future__ import annotations

import dataclasses
import enum
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import own_parts as own
import pytest
import torch
import yaml
from helpers import mixer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from recurlight import (
    AdamATan2,
    AndersonSolver,
    DecayInjection,
    ImplicitGradient,
    InjectedRefiner,
    LastCycles,
    LastPerLevel,
    LinearWarmup,
    QuestionStartRefiner,
    Recorded,
    SingleRefiner,
    SudokuData,
    TwoLevelRefiner,
)
from recurlight.checkpoints.trust import Trust
from recurlight.spec import arguments, describe, from_spec, to_spec


def round_trip(thing, hint=None):
    """Write, store as a checkpoint does, read, and write again."""
    spec = to_spec(thing, hint)
    file = io.BytesIO()
    torch.save(spec, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == spec
    yaml.safe_dump(spec)
    made = from_spec(spec, Trust(), hint)
    assert to_spec(made, hint) == spec
    return made, spec


@pytest.mark.parametrize(
    ("thing", "args"),
    [
        (LastCycles(3), {"count": 3}),
        (LastPerLevel({"latent": 2, "answer": 1}), {"counts": {"latent": 2, "answer": 1}}),
        (SudokuData(size=4, num_test=None), {"size": 4, "num_test": None, "num_val": 200}),
        (own.OwnWindow(2, share=0.25), {"count": 2, "share": 0.25}),
        (own.OwnHalting(0.5, Path("a/b")), {"threshold": 0.5, "file": "a/b"}),
        (nn.Linear(2, 3, bias=False), {"in_features": 2, "out_features": 3, "bias": False}),
        (nn.Conv1d(2, 4, 3, padding="same"), {"padding": "same", "bias": True}),
        (nn.LayerNorm(4, eps=0.5), {"normalized_shape": (4,), "eps": 0.5, "bias": True}),
        (nn.Dropout(0.25), {"p": 0.25}),
        (own.PlainCell(4, 6), {"width": 4, "hidden": 6, "bias": False}),
        (own.PlainCell(4, 6, bias=True), {"bias": True}),
    ],
)
def test_arguments_survive(thing, args):
    """Fails if `Recorded` keeps the innermost constructor's arguments, or `attributes` reads `bias` raw."""
    made, spec = round_trip(thing)
    assert type(made) is type(thing)
    assert spec["init_args"].items() >= args.items()
    assert {**arguments(made)}.items() >= {k: v for k, v in args.items() if k != "file"}.items()


def test_refiners_keep_their_parts_and_numbers():
    """Fails if a base's constructor, which is called with all arguments, is taken for the part's own."""
    made, spec = round_trip(InjectedRefiner(mixer(), DecayInjection(retention=0.3), sigma=0.5))
    assert (made.inject.retention, made.sigma) == (0.3, 0.5)
    assert spec["init_args"]["inject"]["class_path"] == "recurlight.DecayInjection"
    for kind in (QuestionStartRefiner, TwoLevelRefiner):
        made, spec = round_trip(kind(mixer(), latent_steps=5))
        assert (type(made), made.latent_steps, made.answer) == (kind, 5, None)
        assert spec["class_path"] == f"recurlight.{kind.__name__}"


def test_parts_within_parts_and_public_names():
    """Fails if class paths are where a class is defined instead of where it is published."""
    truncation = ImplicitGradient(AndersonSolver(history=3, damping=0.5), backward_steps=7)
    made, spec = round_trip(truncation)
    assert made == truncation
    assert spec["class_path"] == "recurlight.ImplicitGradient"
    assert spec["init_args"]["solver"]["class_path"] == "recurlight.AndersonSolver"


def test_a_refiner_without_annotations_or_attributes():
    """Fails if keyword-only, variadic or unannotated arguments are dropped, or a tuple becomes a list."""
    cells = {"one": own.OwnCell(4), "two": nn.Tanh()}
    refiner = own.OwnRefiner(cells, own.Record(2.0, ("x", "y")), norm=nn.Softsign, first=0.5, second=0.25)
    made, spec = round_trip(refiner)
    assert made.gain == refiner.gain == 1.5
    assert isinstance(made.norm, nn.Softsign)
    assert arguments(made)["record"] == own.Record(2.0, ("x", "y"))
    assert spec["init_args"]["second"] == 0.25
    assert spec["init_args"]["parts"]["one"]["init_args"]["hidden"] == 4


def test_sequential_keeps_its_names():
    """Fails if the children of a `Sequential` are written by position."""
    chain = nn.Sequential()
    chain.add_module("up", nn.Linear(2, 3))
    chain.add_module("curve", nn.GELU("tanh"))
    made, spec = round_trip(SingleRefiner(chain))
    assert made.state_dict().keys() == SingleRefiner(chain).state_dict().keys()
    assert made.cell.curve.approximate == "tanh"
    assert spec["init_args"]["cell"]["class_path"] == "recurlight.spec.sequential"


@pytest.mark.parametrize(
    ("factory", "hint", "path", "args"),
    [
        (AdamATan2, OptimizerCallable, "recurlight.AdamATan2", {"lr": 1e-4, "betas": (0.9, 0.95)}),
        (partial(AdamATan2, lr=0.5), OptimizerCallable, "recurlight.AdamATan2", {"lr": 0.5, "a": 1.0}),
        (partial(torch.optim.SGD, lr=0.5), OptimizerCallable, "torch.optim.SGD", {"lr": 0.5, "momentum": 0}),
        (
            partial(LinearWarmup, warmup=5),
            LRSchedulerCallable | None,
            "recurlight.LinearWarmup",
            {"warmup": 5},
        ),
        (nn.LayerNorm, Callable[[int], nn.Module], "torch.nn.LayerNorm", {"eps": 1e-5}),
    ],
)
def test_what_is_made_later_is_written_with_its_defaults(factory, hint, path, args):
    """Fails if the defaults of a class are left to the version that reads, or `params` is written."""
    made, spec = round_trip(factory, hint)
    assert spec["class_path"] == path
    assert spec["init_args"].items() >= args.items()
    assert not {"params", "optimizer", "normalized_shape"} & spec["init_args"].keys()
    assert made.func.__name__ == path.rpartition(".")[2]
    if hint is OptimizerCallable:
        assert made([nn.Parameter(torch.zeros(1))]).defaults["lr"] == args["lr"]


def test_functions_where_a_callable_is_asked_for():
    """Fails if the path of a function is read as text."""
    made, spec = round_trip(own.OwnCell(4, nn.functional.gelu))
    assert arguments(made)["activation"] is nn.functional.gelu
    assert isinstance(spec["init_args"]["activation"], str)


def test_numbers_of_other_kinds_become_plain():
    """Fails if a subclass of float is stored as it is, which `weights_only` refuses to load."""

    class Level(enum.IntEnum):
        HIGH = 3

    spec = to_spec([np.float64(0.5), Level.HIGH, True, None, (1, "a")])
    assert spec == [0.5, 3, True, None, (1, "a")]
    assert [type(value) for value in spec] == [float, int, bool, type(None), tuple]


def test_comparing_a_plain_module_draws_nothing():
    """Fails without `fork_rng`: saving would change the dropout of the steps that follow."""
    layer = nn.Linear(3, 3)
    state = torch.get_rng_state()
    to_spec(layer)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_plain_module_in_other_precision_is_still_known():
    assert to_spec(own.PlainCell(4).double()) == to_spec(own.PlainCell(4))


def test_parts_that_are_built_later_do_not_hide_a_plain_module():
    """Fails if `alike` looks into `Sized` parts, whose twins have no weights yet."""

    refiner = SingleRefiner(nn.Sequential(bound_cell(), nn.Tanh()))
    round_trip(refiner)


def bound_cell():
    from helpers import bound

    return bound(mixer())


def test_a_torch_module_is_recorded_by_deriving_from_it():
    """Fails if constructors inherited from outside are not remembered."""
    _, spec = round_trip(OwnLayer(8, nhead=2))
    assert spec["init_args"] == {"d_model": 8, "nhead": 2} | spec["init_args"]


class OwnLayer(Recorded, nn.TransformerEncoderLayer):
    """Nothing to add."""


def test_one_argument_that_cannot_be_written_leaves_the_others():
    found = describe(own.OwnHalting(torch.zeros(1), Path("x")))
    assert found.arguments == {"file": "x"}
    assert "Tensor" in found.unrecorded["threshold"]


def test_deriving_changes_neither_signature_nor_documentation():
    """Fails without `functools.wraps`: the command line would see `*args, **kwargs`."""
    import inspect

    assert str(inspect.signature(LastCycles)) == "(count: 'int' = 1) -> None"
    assert list(inspect.signature(TwoLevelRefiner).parameters) == ["latent", "answer", "latent_steps"]
    assert list(inspect.signature(own.OwnWindow).parameters) == ["count", "share"]
    assert dataclasses.replace(own.OwnWindow(1), share=1.0).share == 1.0
