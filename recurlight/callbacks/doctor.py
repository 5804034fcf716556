"""The dynamics of a model while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from recurlight.diagnostics import Report, examine
from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked, within
from recurlight.training.evaluating import Evaluating
from recurlight.types import Batch

__all__ = ["Doctor", "examined"]


def examined(model: Evaluating, batches: Sequence[Batch]) -> Report:
    """Examine a model as it evaluates: with its loss, its segments and cycles, and its seed; see `examine`.

    Args:
        model: Any `RecursiveModule`.
        batches: Samples, on its device.
    """
    settings = model.eval_segments, model.eval_cycles, model.eval_seed
    return examine(model.recursion, batches, model.loss, *settings)


class Doctor(Callback):
    """Examines the model at validations and logs what it finds, such as `doctor/radius`.

    It looks at the first samples of the first batch with the weights that are validated, so averaged ones if
    there are any, and changes nothing in the run. The figures go to the loggers alone: they are there to be
    looked at, and no other callback can wait for them. `recurlight doctor` prints the same with a verdict.

    On the command line: `--trainer.callbacks+=Doctor`.

    Args:
        every: Epochs from one examination to the next, at least 1.
        samples: Samples to look at, at least 1.

    Raises:
        IncompatibleComponents: A number is below 1.

    Example:
        >>> Doctor(every=10).samples
        64
    """

    @checked
    def __init__(self, every: int = 1, samples: int = 64) -> None:
        super().__init__()
        within("Doctor", "every", every, 1)
        within("Doctor", "samples", samples, 1)
        self.every, self.samples = every, samples

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what has no driver to look at."""
        if not isinstance(pl_module, Evaluating):
            raise IncompatibleComponents(
                f"Doctor examines a RecursiveModule and {type(pl_module).__name__} is none: derive it from "
                "that, or call recurlight.examine on your own driver"
            )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Examine the first batch; here, for at the end of a validation averaged weights may be gone."""
        due = batch_idx == 0 and (trainer.current_epoch + 1) % self.every == 0
        if due and not trainer.sanity_checking and trainer.is_global_zero:
            assert isinstance(pl_module, Evaluating)
            report = examined(pl_module, [Batch(*(field[: self.samples] for field in batch))])
            figures = {f"doctor/{name}": value for name, value in report.scalars().items()}
            for logger in trainer.loggers:
                logger.log_metrics(figures, trainer.global_step)
