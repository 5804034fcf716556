"""Predictions as a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from recurlight.data.attached import attached_data
from recurlight.data.base import PuzzleData
from recurlight.losses import exactly_right
from recurlight.samples import samples, side_by_side
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["PredictionWriter", "records"]


def records(batch: Batch, prediction: Prediction, data: PuzzleData | None = None) -> Iterator[dict[str, Any]]:
    """Yield one record for each row that has a supervised token: question, prediction and answer as tokens.

    Args:
        batch: Questions and answers, `(B, ...)`.
        prediction: Where each row stands.
        data: What they are of; where its samples are single lines, `text` is the prediction as it renders it,
            in the cells that the answer has.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[1, 2]])
        >>> logits = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
        >>> found = Prediction(logits, torch.tensor([3]), torch.tensor([True]), torch.tensor([0.9]))
        >>> next(records(Batch(tokens, torch.tensor([[2, 2]]), torch.tensor([0])), found))["prediction"]
        [2, 2]
    """
    exact = exactly_right(prediction.logits, batch.labels)
    tokens = prediction.logits.argmax(dim=-1)
    rows = zip(batch.inputs, tokens, batch.labels, prediction.segments, exact, strict=True)
    for question, predicted, answer, segments, right in rows:
        if (answer != IGNORE).any():
            text = {}
            if data is not None and data.grid_shape[0] == 1:
                text["text"] = data.render(torch.where(answer == IGNORE, 0, predicted).tolist())
            yield text | {
                "question": question.tolist(),
                "prediction": predicted.tolist(),
                "answer": answer.tolist(),
                "segments": int(segments),
                "exact": bool(right),
            }


class PredictionWriter(BasePredictionWriter):
    """Writes the predictions of `recurlight predict` to a JSON-lines file, one object for each puzzle.

    The first ones are also shown as text, question, prediction and answer beside each other; their errors
    are red in a terminal and `x` elsewhere. For pictures see `SamplePictures`.

    Args:
        path: File to write; an older one is replaced. Ranks above zero add their number to its name.
        show: Puzzles to show, of the first batch.

    Example:
        >>> PredictionWriter("predictions.jsonl").path.name
        'predictions.jsonl'
    """

    def __init__(self, path: str = "predictions.jsonl", show: int = 1) -> None:
        super().__init__("batch")
        self.path = Path(path)
        self.show = show
        self.texts: list[str] = []
        self.right = self.count = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new file."""
        if trainer.global_rank:
            self.path = self.path.with_suffix(f".rank{trainer.global_rank}{self.path.suffix}")
        self.right = self.count = 0
        self.texts.clear()
        self.path.write_text("")

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Append the rows of one batch."""
        data = attached_data(trainer)
        with self.path.open("a") as file:
            for record in records(batch, prediction, data):
                self.count += 1
                self.right += record["exact"]
                file.write(json.dumps(record) + "\n")
        if batch_idx == 0 and trainer.is_global_zero and data:
            shown = samples(batch, prediction, self.show)
            self.texts = [side_by_side(data, sample, color=sys.stdout.isatty()) for sample in shown]

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the first predictions, and say where all of them are."""
        for text in self.texts:
            print(f"\n{text}\n")  # noqa: T201
        print(f"{self.count} predictions, {self.right} exactly right: {self.path}")  # noqa: T201
