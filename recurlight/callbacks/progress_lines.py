"""Progress in few lines, where no terminal shows bars."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

__all__ = ["ProgressLines"]

SHOWN = ("val/loss", "val/exact_accuracy")
"""Figures of the last validation that a line has, the others stand in the table."""


class ProgressLines(ProgressBar):
    """Writes one line after each validation of `fit` and after each epoch, in place of bars.

    It has the latest figures of training, of a step or of some steps before as `log_every_n_steps` says, and
    behind `val/` those of the last validation.

    The command line takes it where standard output is no terminal, such as a pipe or the log of a scheduler,
    in which every state of a bar would be kept. Name another progress bar among the callbacks to have that.

    Example:
        >>> ProgressLines().is_enabled
        True
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_enabled = True
        self.told, self.since = -1, 0.0  # step and time of the last line

    def disable(self) -> None:
        """Write nothing, as on all ranks but the first."""
        self.is_enabled = False

    def enable(self) -> None:
        """Write again."""
        self.is_enabled = True

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        """Begin to measure the speed."""
        self.told, self.since = trainer.global_step, time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a line, but of the validation that only tries whether it works."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._tell(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a line, unless a validation has just written it."""
        self._tell(trainer, pl_module)

    def _tell(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write epoch, step, figures and speed since the last line, validation included."""
        step, now = trainer.global_step, time.monotonic()
        if not self.is_enabled or step == self.told:
            return
        shown = self.get_metrics(trainer, pl_module)
        trained = [f"{name} {value:.4g}" for name, value in shown.items() if isinstance(value, float)]
        held_out = [
            f"{name} {value.item():.4g}" for name, value in trainer.callback_metrics.items() if name in SHOWN
        ]
        speed = (step - self.told) / max(now - self.since, 1e-9)
        training = [f"training {', '.join(trained)}"] if trained else []
        told = ", ".join([*training, *held_out, f"{speed:.3g} steps/s"])
        sys.stdout.write(f"epoch {trainer.current_epoch}, step {step}: {told}\n")
        sys.stdout.flush()  # for who follows the log
        self.told, self.since = step, now
