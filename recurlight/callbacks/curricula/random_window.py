"""Random windows: the progressive loss of deep thinking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recurlight.callbacks.curricula.base import Curriculum, Moment
from recurlight.spec.given import within
from recurlight.truncation import LastCycles

__all__ = ["RandomWindow"]


class RandomWindow(Curriculum):
    """Begins to learn at a drawn cycle and stops at another: none can tell how long the recursion has run.

    `n` cycles without gradient, uniform in `0, ..., most - 1`, then `k` with it, uniform in
    `1, ..., most - n`; the loss is taken after `n + k` of them

    For recursions that are to solve larger problems by more cycles than they were trained with: what a cycle
    does has to be right from any state on the way. It takes the place of `model.truncation` in training;
    evaluation runs `model.cycles`, or `model.eval_cycles`. With `RandomDepth` the depth alone is drawn.

    On the command line: `--trainer.callbacks+=RandomWindow`.

    Args:
        most: Cycles at most, 1 or more; None for the model's `cycles`.

    Raises:
        IncompatibleComponents: `most` is out of range.

    Example:
        >>> curriculum = RandomWindow(most=30)
        >>> sorted(curriculum.change(Moment(seed=0, step=7, total=None, stated={"cycles": 3})))
        ['cycles', 'truncation']

    Reference:
        Bansal et al., End-to-end algorithm synthesis with recurrent networks, arXiv:2202.05826.
    """

    settings = ("cycles", "truncation")
    decided_by = ("most",)

    def __init__(self, most: int | None = None) -> None:
        if most is not None:
            within("RandomWindow", "most", most, 1)
        self.most = most

    def change(self, moment: Moment) -> dict[str, Any]:
        """Draw the cycles without gradient, then those with it."""
        most, generator = self.most or moment.stated["cycles"], self.generator(moment)
        without = int(generator.integers(0, most))
        count = int(generator.integers(1, most - without + 1))
        return {"cycles": without + count, "truncation": LastCycles(count)}

    def extremes(self, stated: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        """The shortest and the longest window."""
        most = self.most or stated["cycles"]
        return [{"cycles": count, "truncation": LastCycles(count)} for count in (1, most)]
