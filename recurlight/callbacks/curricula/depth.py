"""A depth that grows by stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from recurlight.callbacks.curricula.base import Curriculum, Moment
from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import within

__all__ = ["DepthCurriculum"]


class DepthCurriculum(Curriculum):
    """Begins with a shallow recursion and makes it deeper by stages, which makes early steps cheap.

    In step `t` of `T` the last stage is in force whose start is `round(start * T) <= t`

    A window longer than the segment of a stage takes what there is. Evaluation runs at full depth from the
    start, `model.cycles` and the refiner's own `latent_steps`; let the last stage be that. While a model
    knows little, fewer segments for each sample let it see more samples in as many steps: `max_segments`.
    The reference also weighs the losses of a sample's segments by `0.7^n`: `OneSegment(decay=0.7)`.

    On the command line: `--trainer.callbacks+=DepthCurriculum`. The run needs an end, such as
    `trainer.max_steps`; resume it with the same.

    Args:
        cycles: Cycles of each stage, 1 or more.
        latent_steps: Latent updates in a cycle of each stage, 1 or more; None for a refiner that has none, or
            to leave them as they are. The refiner has to let them be changed, see `Refiner.adjustable`.
        starts: Share of the run's steps after which each stage begins, rising from 0.
        max_segments: Cap on the segments of a sample in each stage, 1 or more; None to leave the model's.

    Raises:
        IncompatibleComponents: A number is out of range, or the stages are not as many.

    Example:
        >>> growing = DepthCurriculum(cycles=[1, 2, 3], latent_steps=[2, 4, 6], starts=[0, 0.3, 0.6])
        >>> growing.change(Moment(seed=0, step=30, total=100, stated={}))
        {'cycles': 2, 'latent_steps': 4}

    Reference:
        Qasim and Zhang, Accelerating training speed of tiny recursive models with curriculum guided adaptive
        recursion, arXiv:2511.08653.
    """

    settings = ("cycles", "latent_steps", "max_segments")
    decided_by = settings

    def __init__(
        self,
        cycles: Sequence[int] = (1, 2, 3),
        latent_steps: Sequence[int] | None = (2, 4, 6),
        starts: Sequence[float] = (0.0, 0.3, 0.6),
        max_segments: Sequence[int] | None = None,
    ) -> None:
        asked = {"cycles": cycles, "latent_steps": latent_steps, "max_segments": max_segments}
        given = {name: counts for name, counts in asked.items() if counts is not None}
        for name, counts in given.items():
            for count in counts:
                within("DepthCurriculum", name, count, 1)
            if len(counts) != len(starts):
                raise IncompatibleComponents(
                    f"DepthCurriculum got {len(counts)} {name} for {len(starts)} starts: give one for each"
                )
        rising = all(before < after for before, after in pairwise(starts))
        if not starts or starts[0] != 0 or not rising or starts[-1] > 1:
            raise IncompatibleComponents(
                f"DepthCurriculum got starts={list(starts)}: give rising shares of the run, the first 0"
            )
        self.stages = [
            {name: counts[stage] for name, counts in given.items()} for stage in range(len(starts))
        ]
        self.starts = tuple(starts)

    def change(self, moment: Moment) -> dict[str, Any]:
        """Return the stage of the step."""
        begun = sum(moment.at(start) <= moment.step for start in self.starts)
        return dict(self.stages[begun - 1])

    def extremes(self, stated: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        """Every stage."""
        return self.stages
