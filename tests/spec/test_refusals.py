"""What is not written as plain data, and what is not made of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import own_parts as own
import pytest
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import nn

from recurlight import Recorded, SingleRefiner, TwoLevelRefiner, Unrecordable, UntrustedCode
from recurlight.checkpoints.trust import Trust
from recurlight.errors import CheckpointMismatch
from recurlight.spec import from_spec, to_spec


class Shared(Recorded):
    def __init__(self, *parts, other=None):
        self.parts = parts


def nested():
    class Local(Recorded):
        pass

    return Local()


@pytest.mark.parametrize(
    ("thing", "hint", "message"),
    [
        (lambda p: torch.optim.SGD(p, lr=1), OptimizerCallable, "a lambda has no name to be found by"),
        (nn.Tanh, None, "Tanh is made later; annotate the parameter"),
        (nn.Tanh, OptimizerCallable, "Tanh is made later; annotate the parameter"),
        (nn.functional.silu, None, "torch.nn.functional.silu is a function; annotate"),
        (
            partial(torch.optim.SGD, [], lr=1),
            OptimizerCallable,
            "the partial of SGD has arguments without a name",
        ),
        (own.Forgetful(4), None, "Forgetful does not keep its argument 'hidden'; write self.hidden = hidden"),
        (own.Misleading(4), None, "Misleading made anew .* differs"),
        (
            nn.TransformerEncoderLayer(4, 2),
            None,
            r"use a class MyTransformerEncoderLayer\(recurlight.Recorded",
        ),
        (SingleRefiner(own.Forgetful(2)), None, "^cell: Forgetful"),
        (TwoLevelRefiner(*[nn.Tanh()] * 2), None, "answer: the same Tanh is given twice"),
        (Shared(1), None, "Shared got arguments without a name; pass them by name"),
        (nested(), None, "Local cannot be imported from .*; define it at the top level"),
        (torch.zeros(2), None, "Tensor is neither plain data nor a part"),
        ({1: 2}, None, "the keys of a dictionary must be words"),
        (nn.Tanh(), Callable[[], nn.Module], "this argument makes its Tanh later; pass the class"),
    ],
)
def test_what_cannot_be_written_says_what_to_do(thing, hint, message):
    """Fails if any of them is written as something that would be read as another thing, or not at all."""
    with pytest.raises(Unrecordable, match=message):
        to_spec(thing, hint)


@pytest.mark.parametrize(
    "path", ["os.system", "subprocess.Popen", "builtins.eval", "torch.hub.load", "x", ""]
)
def test_reading_refuses_what_is_no_part_of_a_model(path):
    """Fails if `Trust` is not asked."""
    with pytest.raises(UntrustedCode):
        from_spec({"class_path": path}, Trust())


@pytest.mark.parametrize("path", ["subprocess.Popen", "os.system", "pathlib.Path", "builtins.dict"])
def test_reading_makes_only_parts_of_models_even_where_all_is_trusted(path):
    """Fails if `_maker` returns whatever it finds."""
    with pytest.raises(UntrustedCode, match="is no part of a model"):
        from_spec({"class_path": path}, Trust(["subprocess", "os", "posix", "pathlib", "builtins"]))


def test_unknown_arguments_are_listed():
    spec = {"class_path": "recurlight.LastCycles", "init_args": {"count": 1, "cuont": 2, "new": 3}}
    with pytest.raises(CheckpointMismatch, match=r"recurlight\.LastCycles has no argument 'cuont', 'new'"):
        from_spec(spec, Trust())
