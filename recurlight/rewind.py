"""Lightning's counters in a checkpoint, made to tell a place from which it resumes exactly."""

from __future__ import annotations

from typing import Any

__all__ = ["mid_batch", "rewind"]


def mid_batch(loop: dict[str, Any]) -> bool:
    """Tell from the state of the fit loop whether a training batch has begun and is not done."""
    count = loop["epoch_loop.batch_progress"]["current"]
    return bool(count["processed"] < count["ready"])


def rewind(loop: dict[str, Any], batches: int, steps: int, epoch: float) -> None:
    """Make the counters of Lightning's fit loop tell the place after so many training batches.

    Lightning counts a batch when it begins, and takes an epoch that has ended, even early, for one more when
    it resumes. The place is told as where training batches end, from which it resumes exactly.

    Args:
        loop: State of the fit loop in a checkpoint, changed in place.
        batches: Training batches of the run that are behind the weights, at least 1.
        steps: Optimizer steps of the run.
        epoch: Batches of an epoch.
    """
    progress, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    undone = progress["total"]["ready"] - batches
    ended = epochs["current"]["processed"] == epochs["current"]["started"]
    if not (undone or ended or mid_batch(loop)):
        return
    done = progress["current"]["ready"] - undone
    back = int(done == 0)  # the place is then the end of the epoch before
    for loader in loop["state_dict"].get("combined_loader", []):
        loader["served"] -= undone
    for name, place in (("total", batches), ("current", done or epoch)):
        progress[name].update(ready=place, started=place, processed=place, completed=place - 1)
        place = epochs[name]["started"] - back
        epochs[name].update(ready=place, started=place, processed=place - 1, completed=place - 1)
    progress["is_last_batch"] = done in (0, epoch)
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - 1
