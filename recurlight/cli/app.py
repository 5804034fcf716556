"""The command line on top of LightningCLI: the only place that knows it.

Precedence, lowest first: defaults in code, the checkpoint of `--ckpt_path`, the `--config` files in their
order, flags.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

import yaml
from jsonargparse import set_parsing_settings
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from typing_extensions import override

from recurlight.callbacks import SaveOnFailure
from recurlight.checkpoints.io import make_durable
from recurlight.checkpoints.trust import Trust
from recurlight.checkpoints.weights import require_fitting
from recurlight.cli.callbacks import SaveRun, default_callbacks, require_runnable
from recurlight.cli.checkpoint import LINKS, NOTHING
from recurlight.cli.explain.blame import Run, blame
from recurlight.cli.explain.check import Check, UsageError
from recurlight.cli.explain.types import Setting, settings
from recurlight.cli.help import section, topic
from recurlight.cli.recipes import recipes_dir
from recurlight.cli.request import Request, prepare
from recurlight.cli.trust import LIGHTNING, allowing
from recurlight.cli.weights import begin
from recurlight.data import PuzzleData
from recurlight.errors import RecurlightError
from recurlight.training.module import RecursiveModule
from recurlight.truncation import FixedPointSolver, GradientTruncation

__all__ = ["RecurlightCLI", "run"]

PLUGGABLE = ("callbacks", "cells", "codec", "data", "halting", "losses", "optim", "refiners", "truncation")
"""Parts of the package whose classes a configuration may call by their bare names once they are imported."""

WEIGHTS = "checkpoint whose weights alone a new run of fit begins with"

# Frozen dataclasses count as closed types for jsonargparse; policies and solvers are meant to be replaced.
set_parsing_settings(subclasses_enabled=[GradientTruncation, FixedPointSolver])
# Lightning's `Timer` has an enumeration for a default, which YAML would not write into the saved settings.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


class RecurlightCLI(LightningCLI):
    """LightningCLI for `RecursiveModule` on any `PuzzleData`.

    Args:
        request: The command line to carry out.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.places = checked(request)
        super().__init__(
            RecursiveModule,
            PuzzleData,
            save_config_callback=SaveRun,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"log_every_n_steps": 10},
            seed_everything_default=0,
            parser_kwargs={"prog": "recurlight", "allow_abbrev": False, "exit_on_error": False},
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # would tie what is made to the parser; see `Reloadable`
            args=request.arguments(),
        )

    @override
    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the one that is asked for: the parser of each takes a while to make."""
        return {self.request.subcommand: LightningCLI.subcommands()[self.request.subcommand]}

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in LINKS:
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")
        parser.add_argument("--weights", type=str | None, help=WEIGHTS)
        # Another class would inherit the arguments of a default: optimizers are merged by `prepare` instead.
        parser.set_defaults({"trainer.logger": self.request.logger, "model.optimizer": None})

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        if asked := topic(self.request.asked):
            sys.stdout.write(section(self._subcommand_parsers[self.request.subcommand].format_help(), asked))
            raise SystemExit(0)
        with self._explaining():  # and without the base class's warning about words of the process
            self.config = parser.parse_args(args)

    @override
    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:  # numpy's bounds
            raise UsageError(("seed_everything",), str(error)) from error

    @override
    def instantiate_classes(self) -> None:
        with self._explaining():
            super().instantiate_classes()

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        with self._explaining():
            if self.trainer.world_size > 1 and self.trainer.local_rank == 0:
                # an error in the data is told before other ranks are started; alone, Lightning is soon enough
                self.datamodule.prepare_data()
            super()._run_subcommand(subcommand)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn what a library refuses before the first step into one line that names the setting."""
        try:
            yield
        except Exception as error:
            trainer, begun = getattr(self, "trainer", None), self.request.checkpoint.get("global_step", 0)
            if isinstance(error, RecurlightError) or (trainer and trainer.global_step > begun):
                raise
            found = blame(error, Run(self.places, self.request.packages, self.request.sets))
            if found is None:
                raise
            raise found from error

    @override
    def _parse_ckpt_path(self) -> None:
        """Do nothing: `prepare` has put the checkpoint's settings below the flags, not above them."""

    @override
    def after_instantiate_classes(self) -> None:
        checkpoint, subcommand = self.request.checkpoint, self.request.subcommand
        if self.request.weights:
            path = self.config[subcommand].weights
            _tell(f"--weights {path}: {begin(self.model, self.request.weights, path)}")
        if checkpoint:
            require_fitting(self.model, checkpoint, self.model.recursion.sizes)
        if subcommand != "fit" and self.config[subcommand].ckpt_path in NOTHING:
            rank_zero_warn(f"{subcommand} without --ckpt_path: the weights are the initial ones, untrained")

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config = self._get(self.config_init, "trainer")
        given = config.get("callbacks") or []
        callbacks = [
            *([SaveOnFailure()] if self.request.subcommand == "fit" else []),
            *(given if isinstance(given, list) else [given]),
            *default_callbacks(config.as_dict(), self.request.subcommand, self.datamodule),
        ]
        trainer = super().instantiate_trainer(callbacks=callbacks, **kwargs)
        require_runnable(trainer)
        make_durable(trainer.strategy)
        return trainer

    def after_fit(self) -> None:
        """Show the table for the final weights, and say where they are."""
        if self._get(self.config, "trainer").fast_dev_run or self.trainer.interrupted:
            return
        if not len(self.datamodule.splits.val.inputs):
            _tell("there are no puzzles to validate on")
        elif self.model.summary_is_stale():
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        else:
            self.model.show_table(_tell)
        _tell_checkpoint(self.trainer)


@rank_zero_only
def _tell(text: str) -> None:
    """Print a text once; the trainer's own printing goes through a progress bar, closed by now."""
    sys.stdout.write(f"{text}\n")


def _tell_checkpoint(trainer: Trainer) -> None:
    """Say where the last checkpoint is and how to test it."""
    callbacks = (c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint))
    paths = (callback.last_model_path or callback.best_model_path for callback in callbacks)
    if path := next(filter(None, paths), None):
        relative = os.path.relpath(path)
        path = path if relative.startswith("..") else relative
        _tell(f"checkpoint: {path}\ntest it:    recurlight test --ckpt_path {path}")


def checked(request: Request) -> dict[type, tuple[Any, ...]]:
    """Check a configuration, and return where it names its classes.

    Raises:
        UsageError: A setting is unknown, missing or of the wrong type.
    """
    for part in PLUGGABLE:
        importlib.import_module(f"recurlight.{part}")
    links = {("model", name): f"data.{name}" for name in LINKS}
    inherited = {("trainer", "logger"): request.logger["init_args"] if request.logger else {}}
    check = Check(Trust([*LIGHTNING, *request.packages]), links, inherited)
    skipped = {"self", *LightningCLI.subcommands()[request.subcommand]}
    method = settings(getattr(Trainer, request.subcommand))
    known = {"model": Setting(RecursiveModule), "data": Setting(PuzzleData), "trainer": Setting(Trainer)}
    known |= {name: setting for name, setting in method.items() if name not in skipped}
    known["weights"] = Setting(str | None, None)
    known["seed_everything"] = Setting(bool | int | None, 0)
    check.settings(f"recurlight {request.subcommand}", known, request.config, ())
    if not request.asked:
        check.finish()
    return check.places


def run(subcommand: str, arguments: Sequence[str]) -> None:
    """Carry out `recurlight SUBCOMMAND ...`.

    Raises:
        RecurlightError: The command line, a file or the composition is wrong.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # appended: a user's file must not shadow an installed module
    prepared = prepare(subcommand, arguments, recipes_dir())
    try:
        with allowing(prepared.packages):
            RecurlightCLI(prepared)
    except SIGTERMException as error:  # one that came before the first step
        raise SystemExit(128 + signal.SIGTERM) from error
    except UsageError as error:
        raise UsageError((), f"{prepared.origin(error.path)}{error}") from error
