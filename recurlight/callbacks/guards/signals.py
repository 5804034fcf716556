"""Stopping on Ctrl-C and on the signal with which schedulers end a job."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from recurlight.callbacks.guards.agreement import Agreement
from recurlight.callbacks.guards.saved import last_file, readable
from recurlight.errors import Interrupted
from recurlight.ranks import world_size

__all__ = ["StopOnSignal"]

REPEAT = 0.5
"""Seconds within which a second Ctrl-C is the first one again: launchers pass it on to ranks that have it."""


class StopOnSignal(Callback):
    """Ends `fit` after the current training step on SIGINT (Ctrl-C) or SIGTERM, leaving a checkpoint.

    The checkpoint is the run's `last.ckpt`, written between two optimizer steps, so that the resumed run does
    what this one would have done. Then `Interrupted` is raised; the command line ends with status 130 or 143.
    Another Ctrl-C ends the process at once. A validation that is running ends first.

    All ranks stop after the same step, whichever of them the signal reached. So it is under SLURM, where
    Lightning requeues a job on another signal, SIGUSR1 unless told otherwise.

    The command line adds it to `fit`. In Python put it after callbacks that change weights, as averaging
    does.

    Raises:
        Interrupted: A signal came.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[StopOnSignal()], accelerator="cpu", logger=False)
    """

    def __init__(self) -> None:
        self.received = 0
        self.since = 0.0
        self.steps = self.rank = 0
        self.agreement = Agreement()
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals; Lightning has set its own handlers by now."""
        self.received, self.steps, self.rank = 0, trainer.global_step, trainer.global_rank
        self.agreement = Agreement()
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in (signal.SIGINT, signal.SIGTERM):
            self.before[signum] = signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        """Remember a signal. Lightning's own handler would talk to other ranks from here, which can hang."""
        now = time.monotonic()
        if not self.received:
            self.received, self.since = signum, now
            if self.rank == 0:
                text = f"\n{signal.Signals(signum).name}: stopping after this step; Ctrl-C ends at once\n"
                os.write(2, text.encode())  # not print, which may be what was interrupted
        elif signum == signal.SIGINT and now - self.since > REPEAT:
            os._exit(128 + signum)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop if a signal came, but not amid accumulation: a checkpoint holds no half-summed gradients."""
        if trainer.global_step == self.steps:
            return
        self.steps = trainer.global_step
        if signum := self._agreed(pl_module.device):
            self._stop(trainer, signum)

    def _agreed(self, device: torch.device) -> int:
        """Return the signal that any rank received, as far as all ranks know of it."""
        if world_size() == 1:
            return self.received
        self.agreement.ask(torch.full((), self.received, dtype=torch.int32, device=device))
        return max(self.agreement.answers(), default=0)

    def _stop(self, trainer: Trainer, signum: int) -> None:
        text = f"stopped by {signal.Signals(signum).name} after training step {trainer.global_step}"
        path = last_file(trainer)
        if path is None:
            raise Interrupted(signum, f"{text}; this run keeps no checkpoints")
        trainer.save_checkpoint(path)
        raise Interrupted(signum, f"{text}; go on with the same command and --ckpt_path {readable(path)}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        while self.before:
            signal.signal(*self.before.popitem())

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self.on_train_end(trainer, pl_module)
