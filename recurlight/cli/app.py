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
from typing import Any

from jsonargparse import set_parsing_settings
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from typing_extensions import override

from recurlight.callbacks import SaveOnFailure
from recurlight.checkpoints.io import make_durable
from recurlight.checkpoints.weights import require_fitting
from recurlight.cli.callbacks import SaveRun, default_callbacks, require_runnable
from recurlight.cli.checkpoint import LINKS, doubts
from recurlight.cli.explain.blame import Run, blame
from recurlight.cli.explain.lookup import TypeLookup
from recurlight.cli.explain.nulls import wrong_nulls
from recurlight.cli.help import section, topic
from recurlight.cli.merge import classes
from recurlight.cli.parser import Parser, UsageError
from recurlight.cli.recipes import recipes_dir
from recurlight.cli.request import Request, prepare
from recurlight.cli.trust import allowing
from recurlight.cli.weights import begin
from recurlight.data import PuzzleData
from recurlight.errors import RecurlightError
from recurlight.training.module import RecursiveModule
from recurlight.truncation import FixedPointSolver, GradientTruncation

__all__ = ["RecurlightCLI", "run"]

PLUGGABLE = ("callbacks", "cells", "codec", "data", "halting", "losses", "optim", "refiners", "truncation")
"""Parts of the package whose classes a configuration may call by their bare names once they are imported."""

SECTIONS = {"model": RecursiveModule, "data": PuzzleData, "trainer": Trainer}
"""Classes of a configuration's sections."""

# Frozen dataclasses count as closed types for jsonargparse; policies and solvers are meant to be replaced.
set_parsing_settings(subclasses_enabled=[GradientTruncation, FixedPointSolver])


class RecurlightCLI(LightningCLI):
    """LightningCLI for `RecursiveModule` on any `PuzzleData`.

    Args:
        request: The command line to carry out.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        super().__init__(
            RecursiveModule,
            PuzzleData,
            save_config_callback=SaveRun,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={"log_every_n_steps": 10},
            seed_everything_default=0,
            parser_kwargs={"prog": "recurlight", "allow_abbrev": False},
            parser_class=Parser,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # would tie what is made to the parser; see `Reloadable`
            args=request.arguments(),
        )

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in LINKS:
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

    @override
    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        logger: Any = False  # evaluation prints a table and leaves no folder behind
        if subcommand == "fit":
            logger = {
                "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
                "init_args": {
                    "save_dir": self.request.root,
                    "name": self.request.name,
                    "default_hp_metric": False,
                },
            }
        # Another class would inherit the arguments of this default: `prepare` merges the default instead.
        parser.set_defaults({"trainer.logger": logger, "model.optimizer": None})
        if subcommand == "predict":  # a callback writes them; kept in memory they would be gigabytes
            parser.set_defaults({"return_predictions": False})
        parser.add_argument(
            "--weights", type=str | None, help="checkpoint whose weights alone a new run of fit begins with"
        )
        options = [key for key in parser.get_defaults().as_dict() if key not in SECTIONS]
        assert isinstance(parser, Parser)
        parser.lookup = TypeLookup(SECTIONS, options)
        return parser

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        subparser = self._subcommand_parsers[self.request.subcommand]
        assert isinstance(parser, Parser)
        assert isinstance(subparser, Parser)
        if asked := topic(self.request.rest):
            sys.stdout.write(section(subparser.format_help(), asked))
            raise SystemExit(0)
        parser.lookup = subparser.lookup
        self.config = parser.parse_args(args)
        config = self.config[self.request.subcommand].as_dict()
        for key, expected in wrong_nulls(config, SECTIONS):
            raise UsageError(key, f"expected {expected}, got null")

    @override
    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:  # numpy's bounds
            raise UsageError("seed_everything", str(error)) from error

    @override
    def instantiate_classes(self) -> None:
        with self._explaining():
            super().instantiate_classes()

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        with self._explaining():
            if self.trainer.local_rank == 0:  # an error in the data is told before other ranks are started
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
            config = self.config[self.request.subcommand].as_dict()
            found = blame(error, Run(config, SECTIONS, self.request.packages, self.request.sets))
            if found is None:
                raise
            raise UsageError(*found) from error

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
        planned = classes((self.request.config.get("trainer") or {}).get("callbacks"))
        path = self.config[subcommand].get("ckpt_path")
        for doubt in doubts(subcommand, path, checkpoint, self.trainer, planned):
            rank_zero_warn(doubt)

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
    saved = (
        c.last_model_path or c.best_model_path
        for c in trainer.checkpoint_callbacks
        if isinstance(c, ModelCheckpoint)
    )
    path = next(filter(None, saved), None)
    if path:
        relative = os.path.relpath(path)
        path = path if relative.startswith("..") else relative
        _tell(f"checkpoint: {path}\ntest it:    recurlight test --ckpt_path {path}")


def run(subcommand: str, arguments: Sequence[str]) -> None:
    """Carry out `recurlight SUBCOMMAND ...`.

    Raises:
        RecurlightError: The command line, a file or the composition is wrong.
    """
    for part in PLUGGABLE:
        importlib.import_module(f"recurlight.{part}")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # appended: a user's file must not shadow an installed module
    prepared = prepare(subcommand, arguments, recipes_dir())
    try:
        with allowing(prepared.packages):
            RecurlightCLI(prepared)
    except SIGTERMException as error:  # one that came before the first step
        raise SystemExit(128 + signal.SIGTERM) from error
    except UsageError as error:
        origin = prepared.origin(error.key)
        if origin is None:
            raise
        raise UsageError("", f"{origin}: {error}") from error
