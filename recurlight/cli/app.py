"""The command line: a configuration is checked and parsed, and what it describes is made and run.

Precedence, lowest first: defaults in code, the checkpoint of `--ckpt_path`, the `--config` files in their
order, flags.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import yaml
from jsonargparse import set_parsing_settings
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from recurlight.checkpoints.contents import FROM_DATA
from recurlight.checkpoints.io import make_durable
from recurlight.checkpoints.nearby import reading
from recurlight.checkpoints.plugins import offered_names
from recurlight.checkpoints.trust import Trust
from recurlight.cli.callbacks import all_callbacks
from recurlight.cli.checkpoint import NOTHING
from recurlight.cli.config import CONFIG
from recurlight.cli.explain.blame import blame
from recurlight.cli.explain.check import Check, Path, UsageError
from recurlight.cli.explain.types import import_parts, settings
from recurlight.cli.help import section, topic
from recurlight.cli.model import without_class
from recurlight.cli.recipes import recipes_dir
from recurlight.cli.request import FOR_THE_WRITER, Request, for_the_writer, prepare
from recurlight.cli.trust import LIGHTNING, allow
from recurlight.data import PuzzleData
from recurlight.errors import CheckpointError, RecurlightError
from recurlight.search import Search, Selector
from recurlight.spec.names import Setting, import_path
from recurlight.stopping import Stopping
from recurlight.training.module import RecursiveModule
from recurlight.training.warm_start import take_weights
from recurlight.truncation import FixedPointSolver, GradientTruncation

__all__ = ["RecurlightCLI", "run"]

OWN = {
    "seed_everything": (int, 0, "seed of the model and of the data, unless they are given one"),
    "weights": (str | None, None, "checkpoint whose weights alone a new run of fit begins with"),
    "weights_parts": (list[str] | None, None, "parts of the model that take weights of it, if not all do"),
    "weights_widen": (list[str] | None, None, "parts of the model that may have more rows than in it"),
}
"""Settings of a command beside those of the trainer's method: type, default, and what they are."""

SEARCH = {"search": (Search | None, None, "several chains a question, and a choice among their answers")}
"""The same, of the commands that may search."""

MADE = ("self", "model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders")
"""Arguments of the trainer's methods that are made here."""

# Frozen dataclasses count as closed types for jsonargparse; policies and solvers are meant to be replaced.
set_parsing_settings(subclasses_enabled=[GradientTruncation, FixedPointSolver, Stopping, Selector])
# Lightning's `Timer` has an enumeration for a default, which YAML would not write into the saved settings.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


class RecurlightCLI:
    """Makes `RecursiveModule`, any `PuzzleData` and a trainer as a command line says, and runs them.

    Args:
        request: The command line to carry out.
        act: What to do with them; None for the trainer's method that the command is called after.
        called: What the user calls the command; None for the request's own name.
        flags: What it takes beside settings.
    """

    def __init__(
        self,
        request: Request,
        act: Callable[[RecurlightCLI], None] | None = None,
        called: str | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        self.request = request
        self.kind, self.places = checked(request, called or request.subcommand, flags)
        self.setup_parser()
        if asked := topic(request.asked):
            sys.stdout.write(section(self.parser.format_help(), asked))
            raise SystemExit(0)
        try:
            # Quoted, for what PyYAML takes for text, such as 1e3, jsonargparse may take for a number.
            quoted = yaml.safe_dump(request.config, default_style='"')
            self.config = self.parser.parse_args(["--config", quoted, *request.asked])
            self._seed()
            self.instantiate_classes()
            self._begin()
            if act is None:
                self._run_subcommand(request.subcommand)
            else:
                act(self)
        except Exception as error:
            # What a library refuses before the first step becomes one line that names the setting.
            trainer, begun = getattr(self, "trainer", None), request.checkpoint.get("global_step", 0)
            if isinstance(error, RecurlightError) or (trainer and trainer.global_step > begun):
                raise
            found = blame(error, self.places, request.packages, request.sets)
            if found is None:
                raise
            raise found from error

    def setup_parser(self) -> None:
        """Make the parser of the command's settings."""
        self.parser = LightningArgumentParser(prog="recurlight", allow_abbrev=False, exit_on_error=False)
        self.parser.add_argument("-c", "--config", action="config", help=CONFIG)
        for name, (kind, default, text) in own(self.request.subcommand).items():
            self.parser.add_argument(f"--{name}", type=kind, default=default, help=text)
        self.parser.add_lightning_class_args(Trainer, "trainer")
        if self.kind is not RecursiveModule:  # first in its section of the saved settings
            group = self.parser.add_argument_group("Class of the model")
            group.add_argument("--model.class_path", help="a class that derives from RecursiveModule")
        added = self.parser.add_lightning_class_args(self.kind, "model")
        self.parser.add_lightning_class_args(PuzzleData, "data", subclass_mode=True)
        self.taken = self.parser.add_method_arguments(Trainer, self.request.subcommand, skip={*MADE})
        for name in FROM_DATA:
            if f"model.{name}" in added:  # a class of the user's may have a size of its own
                self.parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        # Another class would inherit the arguments of a default: optimizers are merged by `prepare` instead.
        logger = self.request.sources[0].content["trainer"]["logger"]
        self.parser.set_defaults({"trainer.logger": logger, "trainer.log_every_n_steps": 10})
        if "model.optimizer" in added and "optimizer" in self.request.config["model"]:
            self.parser.set_defaults({"model.optimizer": None})

    def _seed(self) -> None:
        try:
            seed_everything(self.config.seed_everything, workers=True)
        except ValueError as error:  # numpy's bounds
            raise UsageError(("seed_everything",), str(error)) from error

    def instantiate_classes(self) -> None:
        """Make the data, the model and the trainer."""
        config = self.config.clone()
        config.model.pop("class_path", None)  # it is no argument
        made = self.parser.instantiate_classes(config)
        self.datamodule, self.model = made.data, made.model
        self.model.search = made.get("search")
        callbacks = all_callbacks(made.trainer, self.request.subcommand, self.datamodule)
        self.trainer = trainer = Trainer(**{**made.trainer, "callbacks": callbacks})
        make_durable(trainer.strategy)
        # Without a logger the settings would be written into the current folder.
        if self.request.subcommand == "fit" and trainer.loggers and not made.trainer.fast_dev_run:
            save = SaveConfigCallback(self.parser, self.config, overwrite=True)
            trainer.callbacks.append(save)  # type: ignore[attr-defined]

    def _begin(self) -> None:
        """Give the model the weights to begin with, and warn where there are none to evaluate."""
        command, path = self.request.subcommand, self.config.weights
        try:
            if self.request.weights:
                chosen = self.config.weights_parts, self.config.weights_widen
                _tell(f"--weights {path}: {take_weights(self.model, self.request.weights, *chosen)}")
        except RecurlightError as error:
            raise CheckpointError(f"--weights {path}: {error}") from error
        if command != "fit" and self.config.ckpt_path in NOTHING:
            rank_zero_warn(f"{command} without --ckpt_path: the weights are the initial ones, untrained")

    def _run_subcommand(self, subcommand: str) -> None:
        if self.trainer.world_size > 1 and self.trainer.local_rank == 0:
            # an error in the data is told before other ranks are started; alone, Lightning is soon enough
            self.datamodule.prepare_data()
        method = getattr(self.trainer, subcommand)
        method(self.model, datamodule=self.datamodule, **{name: self.config[name] for name in self.taken})
        if subcommand == "fit":
            self._after_fit()

    def _after_fit(self) -> None:
        """Show the table for the final weights, and say where they are."""
        if self.config.trainer.fast_dev_run or self.trainer.interrupted:
            return
        if not len(self.datamodule.splits.val.inputs):
            _tell("there are no puzzles to validate on")
        elif self.model.summary_is_stale():
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        else:
            self.model.show_table(_tell)
        _tell_checkpoint(self.trainer)


_tell = rank_zero_only(print)
"""Prints a text once; the trainer's own printing goes through a progress bar, closed by then."""


def _tell_checkpoint(trainer: Trainer) -> None:
    """Say where the last checkpoint is and how to test it."""
    callbacks = (c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint))
    paths = (callback.last_model_path or callback.best_model_path for callback in callbacks)
    if path := next(filter(None, paths), None):
        path = os.path.relpath(path)
        _tell(f"checkpoint: {path}\ntest it:    recurlight test --ckpt_path {path}")


def own(subcommand: str) -> dict[str, tuple[Any, Any, str]]:
    """Return the settings of a command beside those of the trainer's method."""
    return OWN | (SEARCH if subcommand in ("test", "predict") else {})


def checked(
    request: Request, called: str, flags: Sequence[str]
) -> tuple[type[RecursiveModule], dict[type, Path]]:
    """Check a configuration, and return the class of its model and where it names its classes.

    Args:
        request: The command line.
        called: What the user calls the command, for messages.
        flags: What it takes beside settings, for messages.

    Raises:
        UsageError: A setting is unknown, missing or of the wrong type.
    """
    import_parts()
    elsewhere: dict[Path, str] = {("model", name): f"data.{name}" for name in FROM_DATA}
    elsewhere |= {("trainer", "logger", name): "" for name in ("save_dir", "name")}
    find = Trust([*LIGHTNING, *request.packages])
    check = Check(find, elsewhere, (*flags, "config", "trust"))
    method = settings(getattr(Trainer, request.subcommand))
    kind = _kind(check, request)
    known = {"model": Setting(kind, kind), "data": Setting(PuzzleData), "trainer": Setting(Trainer)}
    known |= {name: setting for name, setting in method.items() if name not in MADE}
    known |= {name: Setting(kind, default) for name, (kind, default, _) in own(request.subcommand).items()}
    check.settings(f"recurlight {called}", known, without_class(request.config), ())
    asked = {word.rpartition("=")[2] for word in request.asked}
    for word in asked.intersection(offered_names()) if asked else ():
        find(word)  # the parser shows the help of what is imported
    allow(find.offered)
    request.packages.extend(path.partition(".")[0] for path in find.offered)
    if not request.asked:
        check.finish()
    return kind, check.places


def _kind(check: Check, request: Request) -> type[RecursiveModule]:
    """Return the class of the model, and leave in its section what that class takes."""
    model = request.config["model"]
    name = model.pop("class_path", None) if isinstance(model, dict) else None
    if name is None:
        return RecursiveModule
    kind = check.named(name, [RecursiveModule], ("model", "class_path"))
    if not isinstance(kind, type) or not issubclass(kind, RecursiveModule):  # a function, or two of one name
        raise UsageError(("model", "class_path"), f"{name} is no RecursiveModule")
    if kind is not RecursiveModule:
        model["class_path"] = import_path(kind)
    ours, own = settings(RecursiveModule)["optimizer"], settings(kind).get("optimizer")
    if own != ours and not request.sets(("model", "optimizer")):
        del model["optimizer"]  # the default of the command line, which is none of this class
    return kind


def run(
    subcommand: str,
    arguments: Sequence[str],
    act: Callable[[RecurlightCLI], None] | None = None,
    called: str | None = None,
    flags: Sequence[str] = (),
) -> None:
    """Carry out `recurlight SUBCOMMAND ...`.

    Args:
        subcommand: A method of the trainer.
        arguments: What follows it.
        act: See `RecurlightCLI`.
        called: Likewise.
        flags: Likewise.

    Raises:
        RecurlightError: The command line, a file or the composition is wrong.
    """
    if subcommand == "predict":
        arguments, flags = for_the_writer(arguments), (*flags, *FOR_THE_WRITER)
    prepared = prepare(subcommand, arguments, recipes_dir())
    try:
        allow(prepared.packages)
        with reading(prepared.config.get("ckpt_path")):  # its parts may name files that lie around it
            RecurlightCLI(prepared, act, called, flags)
    except SIGTERMException as error:  # one that came before the first step
        raise SystemExit(128 + signal.SIGTERM) from error
    except UsageError as error:
        raise UsageError((), f"{prepared.origin(error.path)}{error}") from error
