"""`recurlight policies`: what can be put where, one line each."""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from recurlight.checkpoints.plugins import offers
from recurlight.errors import RecurlightError, suggestion

__all__ = ["run"]


class Axis(NamedTuple):
    """One kind of part."""

    homes: tuple[str, ...]
    """Folders of the package."""
    base: str
    """Contract of the kind, a public name."""
    setting: str
    """Where a configuration takes one."""


AXES = {
    "refiners": Axis(("refiners",), "recurlight.Refiner", "--model.refiner"),
    "injections": Axis(("refiners",), "recurlight.Injection", "--model.refiner.injection of InjectedRefiner"),
    "cells": Axis(("cells",), "torch.nn.Module", "a refiner's cell, such as --model.refiner.cell"),
    "truncations": Axis(("truncation",), "recurlight.GradientTruncation", "--model.truncation"),
    "solvers": Axis(("truncation",), "recurlight.FixedPointSolver", "--model.truncation.solver"),
    "haltings": Axis(("halting",), "recurlight.Halting", "--model.halting"),
    "stoppings": Axis(("stopping",), "recurlight.Stopping", "--model.eval_halting"),
    "selectors": Axis(("search",), "recurlight.Selector", "--search.selector of test and predict"),
    "supervisions": Axis(("supervision",), "recurlight.Supervision", "--model.supervision"),
    "encoders": Axis(("codec", "language"), "recurlight.Encoder", "--model.encoder"),
    "decoders": Axis(("codec", "language"), "recurlight.Decoder", "--model.decoder"),
    "losses": Axis(("losses",), "recurlight.SequenceLoss", "--model.loss"),
    "optimizers": Axis(("optim",), "torch.optim.Optimizer", "--model.optimizer, and those of torch"),
    "schedules": Axis(
        ("optim",), "torch.optim.lr_scheduler.LRScheduler", "--model.scheduler, and those of torch"
    ),
    "data": Axis(("data",), "recurlight.PuzzleData", "--data"),
    "callbacks": Axis(("callbacks",), "lightning.Callback", "--trainer.callbacks+, and those of Lightning"),
}

USAGE = f"recurlight policies [{' | '.join(AXES)} | plugins]"
ABOUT = """List what can be put where, with the setting that takes it; all kinds, or one.

example:
  recurlight policies haltings"""


def run(arguments: Sequence[str]) -> None:
    """Print the parts of one axis, or of all, and those of installed plug-ins.

    Args:
        arguments: What follows the word `policies`.

    Raises:
        RecurlightError: There is no such axis.
    """
    known = (*AXES, "plugins")
    match list(arguments):
        case ["-h" | "--help"]:
            sys.stdout.write(f"usage: {textwrap.fill(USAGE, 100, subsequent_indent=' ' * 8)}\n\n{ABOUT}\n")
        case []:
            sys.stdout.write("\n".join("\n".join(_lines(axis)) + "\n" for axis in known))
        case [axis] if axis in known:
            sys.stdout.write("\n".join(_lines(axis)) + "\n")
        case [axis, *_]:
            raise RecurlightError(f"'{axis}' is no kind of part{suggestion(axis, known) or ':'} {USAGE}")


def _lines(name: str) -> Iterator[str]:
    axis = AXES.get(name)
    found = _parts(axis) if axis else _plugins()
    yield f"{name}: {axis.setting if axis else 'of installed packages, wherever a class is taken'}"
    width = max(map(len, found), default=0)
    yield from (f"  {part:{width}}  {text}" for part, text in found.items())
    if not found:
        yield "  none"


def _parts(axis: Axis) -> dict[str, str]:
    """Name the classes of a folder that can be made, with the first sentence about each."""
    module, _, base = axis.base.rpartition(".")
    kind = getattr(importlib.import_module(module), base)
    homes = [importlib.import_module(f"recurlight.{home}") for home in axis.homes]
    parts = dict(sorted((name, getattr(home, name)) for home in homes for name in home.__all__))
    return {
        name: (inspect.getdoc(part) or "").partition("\n")[0]
        for name, part in parts.items()
        if isinstance(part, type) and issubclass(part, kind) and not inspect.isabstract(part)
    }


def _plugins() -> dict[str, str]:
    return {offer.name: f"{offer.module} of {package}" for package, offer in offers()}
