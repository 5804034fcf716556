"""The loader that can be resumed in the middle of an epoch, and the order in which it asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch.utils.data import DataLoader, DistributedSampler, SequentialSampler

from recurlight.data.stream import TrainingBatches
from recurlight.errors import CheckpointMismatch
from recurlight.types import Batch

__all__ = ["AdvancingSteps", "RepeatedSteps", "ResumableLoader", "StepSampler"]


class StepSampler(DistributedSampler[object], ABC):
    """Numbers of the batches of an epoch, as many as there are steps.

    Every rank takes every step, because each batch is divided *inside* the data set. It is a
    `DistributedSampler` only because Lightning replaces samplers of any other class under several ranks.

    Args:
        steps: Length of an epoch.
    """

    def __init__(self, steps: int) -> None:
        super().__init__(range(steps), num_replicas=1, rank=0, shuffle=False)  # type: ignore[arg-type]
        self.steps = steps
        self.resumed = (0, 0)

    @abstractmethod
    def first(self) -> int:
        """Return the number of the epoch's first batch."""

    def resume(self, epoch: int, served: int) -> None:
        """Leave out the first `served` batches of that epoch, until told otherwise."""
        self.resumed = (epoch, served)

    def skip(self) -> int:
        """Return how many batches of the current epoch are left out."""
        epoch, served = self.resumed
        return served if epoch == self.epoch else 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first() + self.skip(), self.first() + self.steps))

    def __len__(self) -> int:
        return self.steps


class AdvancingSteps(StepSampler):
    """Steps that go on counting: `epoch * steps, ..., (epoch + 1) * steps - 1`."""

    def first(self) -> int:
        """Return the number of steps of all epochs before."""
        return self.epoch * self.steps


class RepeatedSteps(StepSampler, SequentialSampler):
    """The same steps in every epoch: `0, ..., steps - 1`.

    It is a `SequentialSampler` because Lightning's `overfit_batches` replaces samplers of any other class.
    """

    def first(self) -> int:
        """Return 0."""
        return 0


class ResumableLoader(DataLoader[Batch]):
    """A loader that a checkpoint can put back to the batch where it was, through Lightning's protocol.

    Its arguments are those of `torch.utils.data.DataLoader`; the sampler is a `StepSampler`.
    """

    served = 0
    epoch = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Serve an epoch, or the rest of it; the epoch may be set until the first batch is asked for."""
        steps = self.sampler
        self.served, self.epoch = (steps.skip(), steps.epoch) if isinstance(steps, StepSampler) else (0, 0)
        batches = super().__iter__()  # with workers, this asks the sampler twice
        if isinstance(steps, StepSampler):
            steps.resume(0, 0)  # only the epoch that was cut off is short; also where this number comes again
        for batch in batches:
            self.served += 1  # counted first: checkpoints are written while the loop holds the batch
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, how many batches of it were served, and what their order depends on."""
        return {"epoch": self.epoch, "served": self.served, **self._order()}

    def _order(self) -> dict[str, int]:
        return self.dataset.order() if isinstance(self.dataset, TrainingBatches) else {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that were served.

        Raises:
            CheckpointMismatch: They belong to another order of samples.
        """
        for name, now in self._order().items():
            then = state.get(name, now)
            if then != now:
                again = f"{name} {then}" if name.startswith("data.") else "the data's settings of then"
                raise CheckpointMismatch(
                    f"the checkpoint was written with {name} {then} and this run has {now}, so the order of "
                    f"its samples cannot go on: give {again} again, or start without the checkpoint"
                )
        if isinstance(self.sampler, StepSampler):
            self.sampler.resume(state["epoch"], state["served"])
