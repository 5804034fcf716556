"""Lightning's counters in a checkpoint, made to tell a place from which it resumes exactly."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["mid_batch", "rewind"]


def mid_batch(loop: dict[str, Any]) -> bool:
    """Tell from the state of the fit loop whether a training batch has begun and is not done."""
    count = loop["epoch_loop.batch_progress"]["current"]
    return bool(count["processed"] < count["ready"])


def rewind(loop: dict[str, Any], batches: int, steps: int, epoch: float) -> None:
    """Make the counters of Lightning's fit loop tell the place after so many training batches.

    Left alone, Lightning counts a batch when it begins, and when it resumes it counts once more an epoch that
    has ended, be it early. So the place is told as where a training batch has just ended or, between two
    epochs, as where the next is about to start.

    Args:
        loop: State of the fit loop in a checkpoint, changed in place.
        batches: Training batches of the run that are behind the weights, at least 1.
        steps: Optimizer steps of the run.
        epoch: Batches of an epoch; where they are not known in advance nothing is changed.
    """
    progress, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    undone = progress["total"]["ready"] - batches
    done = progress["current"]["ready"] - undone
    validated = progress["current"]["completed"] == progress["current"]["ready"]
    running = epochs["total"]["processed"] < epochs["total"]["started"]
    if math.isinf(epoch) or (not undone and running and validated):
        return
    for loader in loop["state_dict"].get("combined_loader", []):
        loader["served"] -= undone
    ended = done in (0, epoch)
    for name, place in (("total", batches), ("current", epoch if ended else done)):
        progress[name].update(ready=place, started=place, processed=place, completed=place - 1)
    progress["is_last_batch"] = False
    for count in (epochs["total"], epochs["current"]):
        over = count["started"] - (not ended or done == 0)  # epochs that are over
        count.update(ready=over + 1, started=over + (not ended), processed=over, completed=over)
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - 1
