"""Predictions as a file."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from recurlight.data.base import PuzzleData
from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting, judges
from recurlight.losses import exactly_right
from recurlight.places import obstacle
from recurlight.ranks import gather_objects
from recurlight.rendering.samples import samples, shown_prediction, side_by_side
from recurlight.spec.given import checked, within
from recurlight.training.attached import attached_data
from recurlight.training.evaluating import Evaluating
from recurlight.training.results import tell
from recurlight.types import Batch, Prediction

__all__ = ["PredictionWriter", "records"]


def records(
    batch: Batch,
    prediction: Prediction,
    data: PuzzleData | None = None,
    right: Callable[[Tensor, Tensor], Tensor] = exactly_right,
    confidence: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one record for each row but padding: question, prediction and answer as tokens or numbers.

    Where the answer is not known, `answer` and `exact` are None, and so are numbers that are not supervised.

    Args:
        batch: Questions and answers, `(B, ...)`.
        prediction: Where each row stands.
        data: What they are of; where its samples are single lines of tokens, `text` is the prediction as it
            shows and renders it.
        right: Says which answers are right, as `SequenceLoss.right`.
        confidence: Least confidence of a prediction that is `sure`; None for records without that.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[1, 2]])
        >>> logits = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
        >>> found = Prediction(logits, torch.tensor([3]), torch.tensor([True]), torch.tensor([0.9]))
        >>> next(records(Batch(tokens, torch.tensor([[2, 2]]), torch.tensor([0])), found))["prediction"]
        [2, 2]
    """
    exact, known = right(prediction.logits, batch.labels), batch.answered()
    numbers = batch.labels.is_floating_point()
    answer = prediction.logits if numbers else prediction.logits.argmax(dim=-1)
    lines = data is not None and data.grid_shape[0] == 1 and not numbers
    shown = shown_prediction(batch, prediction.logits, data) if lines else answer
    for row in batch.asked().nonzero().squeeze(1).tolist():
        answered = bool(known[row])
        yield (
            ({"text": data.render(shown[row].tolist())} if data and lines else {})
            | {
                "question": batch.inputs[row].tolist(),
                "prediction": answer[row].tolist(),
                "answer": _written(batch.labels[row].tolist()) if answered else None,
                "segments": int(prediction.segments[row]),
                "exact": bool(exact[row]) if answered else None,
            }
            | ({} if confidence is None else _sure(prediction.confidence[row], confidence))
        )


def _sure(found: Tensor, least: float) -> dict[str, Any]:
    """Tell whether a prediction is an answer, or that it is not known; in float32, which has no 0.9."""
    return {"confidence": float(found), "sure": bool(found >= least)}


def _written(cells: Any) -> Any:
    """Put None in the place of NaN, which JSON does not have."""
    if isinstance(cells, list):
        return [_written(cell) for cell in cells]
    return None if math.isnan(cells) else cells


def _require_judge(halting: Halting) -> None:
    if not judges(halting):
        raise IncompatibleComponents(
            f"{type(halting).__name__} does not judge its answers, so it has no confidence: leave "
            "--confidence out, or train with CorrectnessHalting"
        )


class PredictionWriter(Callback):
    """Writes the predictions of `recurlight predict` to a JSON-lines file, one object for each puzzle.

    The answers need not be known; `answer` and `exact` are null where they are not.

    The first ones are also shown as text, question, prediction and answer beside each other; their errors
    are red in a terminal and `x` elsewhere. For pictures see `SamplePictures`.

    Args:
        path: File to write, `--output` of `recurlight predict`; one that exists is not written over. Ranks
            above zero add their number to its name, and leave no file where they had nothing to answer.
        show: Puzzles to show, of the first batch.
        confidence: Answer only where the halting policy is so sure, from 0 to 1: other records say
            `"sure": false`, which is "I do not know", and only the others count as answered. It is the
            policy's word: `recurlight calibrate` shows what that is worth. null to answer always.

    Raises:
        IncompatibleComponents: A number is out of range; or, before anything is predicted, the policy does
            not judge its answers.

    Example:
        >>> PredictionWriter("predictions.jsonl").path.name
        'predictions.jsonl'
    """

    @checked
    def __init__(
        self, path: str = "predictions.jsonl", show: int = 1, confidence: float | None = None
    ) -> None:
        within("PredictionWriter", "show", show, 0)
        if confidence is not None:
            within("PredictionWriter", "confidence", confidence, 0, 1)
        self.confidence = confidence
        self.file = self.path = Path(path)
        self.show = show
        self.texts: list[str] = []
        self.written: set[Path] = set()  # which it may write anew
        self.right = self.known = self.count = self.sure = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new file.

        Raises:
            IncompatibleComponents: A confidence is asked of a policy that does not judge its answers, or the
                file is there already, from another run, or cannot be written.
        """
        model = pl_module if isinstance(pl_module, Evaluating) else None
        if self.confidence is not None and model and model.search is None:  # a search says how sure it is
            _require_judge(model.recursion.halting)
        rank = f".rank{trainer.global_rank}" if trainer.global_rank else ""
        self.file = self.path.with_suffix(f"{rank}{self.path.suffix}")
        self.right = self.known = self.count = self.sure = 0
        self.texts.clear()
        advice = "give --output with the name of a new file, or move it away"
        found = "" if self.file in self.written else obstacle(self.file, advice)
        if refused := next(filter(None, gather_objects(found)), None):
            raise IncompatibleComponents(refused)  # by all ranks, or the others would wait for this one
        self.written.add(self.file)
        self.file.write_text("")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Append the rows of one batch."""
        data = attached_data(trainer)
        right = pl_module.loss.right if isinstance(pl_module, Evaluating) else exactly_right
        with self.file.open("a") as file:
            for record in records(batch, outputs, data, right, self.confidence):
                answered = record.get("sure", True)
                self.count += 1
                self.sure += answered
                self.known += answered and record["answer"] is not None
                self.right += answered and record["exact"] is True
                file.write(json.dumps(record) + "\n")
        if batch_idx == 0 and trainer.is_global_zero and data:
            shown = samples(batch, outputs, self.show, data)
            self.texts = [side_by_side(data, sample, color=sys.stdout.isatty()) for sample in shown]

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the first predictions, and say where all of them are."""
        if trainer.global_rank and not self.count:  # the ranks before had all of them
            self.file.unlink()
        for text in self.texts:
            tell(f"\n{text}\n")
        of = "" if self.known == self.sure else f" of {self.known} whose answer is known"
        right = f", {self.right}{of} exactly right" if self.known else ""
        unsure = f", {self.count - self.sure} not sure enough to answer" if self.sure < self.count else ""
        tell(f"{self.count} predictions{unsure}{right}: {self.file}")
