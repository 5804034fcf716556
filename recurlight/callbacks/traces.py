"""How one puzzle is solved, while a model learns to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from recurlight.errors import IncompatibleComponents
from recurlight.ranks import gather_objects
from recurlight.rendering.looks import Drawable
from recurlight.spec.given import checked, within
from recurlight.tracing import Replay, page, replay
from recurlight.training.attached import attached_data
from recurlight.training.evaluating import Evaluating, as_evaluated
from recurlight.types import Batch

__all__ = ["TraceWriter", "replayed"]


def replayed(model: Evaluating, batch: Batch, data: Drawable, row: int, title: str) -> Replay:
    """Watch a model solve a batch as it predicts: with its segments, cycles and rule; see `replay`.

    Args:
        model: Any `RecursiveModule`, in evaluation mode.
        batch: Samples, on its device.
        data: Says how they look.
        row: Row to keep.
        title: What is solved.
    """
    settings: dict[str, Any] = {"segments": model.eval_segments, "cycles": model.eval_cycles}
    settings["adaptive"] = model.eval_adaptive is not False
    return replay(model.recursion, batch, data, row, title=title, **settings)


class TraceWriter(Callback):
    """Writes at validations a page that plays how the model solves one puzzle; see `recurlight trace`.

    Always the same puzzle, of the first validation batch, solved once more and alone with the weights that
    are validated. The pages are `step_000100.html` and so on in the folder `traces` of the run.

    On the command line: `--trainer.callbacks+=TraceWriter`.

    Args:
        index: Which puzzle of the first batch, from 0.
        every: Epochs from one page to the next, at least 1.
        folder: Folder of the pages; None for `traces` in the run's folder, or in the current one where
            nothing is logged.

    Raises:
        IncompatibleComponents: A number is out of range, or there is nothing to draw.

    Example:
        >>> TraceWriter(index=3).every
        1
    """

    @checked
    def __init__(self, index: int = 0, every: int = 1, folder: str | None = None) -> None:
        super().__init__()
        within("TraceWriter", "index", index, 0)
        within("TraceWriter", "every", every, 1)
        self.index, self.every, self.folder = index, every, folder
        self.target = Path()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, on every rank together, and refuse what cannot be watched."""
        self.target = Path(self.folder or Path(trainer.log_dir or "") / "traces")
        if not isinstance(pl_module, Evaluating):
            raise IncompatibleComponents(
                f"TraceWriter watches a RecursiveModule and {type(pl_module).__name__} is none: derive it "
                "from that, or call recurlight.replay on your own driver"
            )
        if not attached_data(trainer):
            raise IncompatibleComponents(
                "TraceWriter asks the data how samples look: give the trainer a PuzzleData as datamodule"
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
        """Write the page; here, for at the end of a validation averaged weights may be gone."""
        due = batch_idx == 0 and (trainer.current_epoch + 1) % self.every == 0
        if not due or trainer.sanity_checking:
            return
        rows = gather_objects(int(batch.asked().sum()))[0]  # refused by all ranks, or the others would wait
        if self.index >= rows:
            raise IncompatibleComponents(
                f"TraceWriter got index={self.index}: the first validation batch has {rows} puzzles, "
                "give a lower one or raise data.eval_batch_size"
            )
        if not trainer.is_global_zero:
            return
        data, step = attached_data(trainer), trainer.global_step
        assert data is not None
        assert isinstance(pl_module, Evaluating)
        one = Batch(*(field[self.index : self.index + 1] for field in batch))
        title = f"{type(data).__name__}, validation puzzle {self.index}, step {step}"
        with trainer.precision_plugin.forward_context(), as_evaluated(pl_module, one, batch_idx):
            found = replayed(pl_module, one, data, 0, title)
        self.target.mkdir(parents=True, exist_ok=True)
        (self.target / f"step_{step:06}.html").write_text(page(found), "utf-8")
