"""Random depth: another number of cycles in every step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from recurlight.callbacks.curricula.base import Curriculum, Moment
from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import within

__all__ = ["RandomDepth"]


class RandomDepth(Curriculum):
    """Draws the number of cycles of every step, so that the model works at more than one depth.

    `cycles = 1 + Poisson(exp(t))`, `t` normal with deviation `sigma` and mean `log(mean - 1) - sigma^2 / 2`,
    so that `mean` is their mean and `(mean - 1) + (mean - 1)^2 (exp(sigma^2) - 1)` their variance; without
    `mean`, uniform in `least, ..., most`

    A window longer than the drawn depth takes what there is: `LastUpdates(8)` carries gradient through the
    last eight updates, or all. Evaluation runs `model.cycles`, or `model.eval_cycles`. Take `RandomWindow`
    where the window should be drawn, too.

    On the command line: `--trainer.callbacks+=RandomDepth --trainer.callbacks.mean 8`.

    Args:
        mean: Mean number of cycles of the log-normal Poisson distribution, more than 1; None for the uniform
            one. In the reference's words it is `r + 1`.
        sigma: Spread of its rate, 0 or more; a half in the reference.
        least: Cycles at least, 1 or more; fewer that are drawn become so many.
        most: Cycles at most; more that are drawn become so many, which bounds time and memory. None for no
            bound, with `mean` alone.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> curriculum = RandomDepth(least=2, most=4)
        >>> steps = (Moment(seed=0, step=step, total=None, stated={}) for step in range(99))
        >>> sorted({curriculum.change(moment)["cycles"] for moment in steps})
        [2, 3, 4]

    Reference:
        Geiping et al., Scaling up test-time compute with latent reasoning, arXiv:2502.05171, section 3.3.
    """

    settings = ("cycles",)
    decided_by = ("least", "most")

    def __init__(
        self, mean: float | None = None, sigma: float = 0.5, least: int = 1, most: int | None = None
    ) -> None:
        if mean is not None:
            within("RandomDepth", "mean", mean, above=1)
        within("RandomDepth", "sigma", sigma, 0)
        within("RandomDepth", "least", least, 1)
        if most is not None:
            within("RandomDepth", "most", most, least)
        elif mean is None:
            raise IncompatibleComponents(
                "RandomDepth got neither mean nor most: give mean for log-normal Poisson numbers of cycles, "
                "or most for uniform ones"
            )
        self.mean, self.sigma, self.least, self.most = mean, sigma, least, most

    def change(self, moment: Moment) -> dict[str, Any]:
        """Draw the cycles."""
        generator, most = self.generator(moment), self.most
        if self.mean is None:
            assert most is not None
            return {"cycles": int(generator.integers(self.least, most + 1))}
        rate = generator.lognormal(math.log(self.mean - 1) - self.sigma**2 / 2, self.sigma)
        drawn = max(self.least, 1 + int(generator.poisson(rate)))
        return {"cycles": drawn if most is None else min(drawn, most)}

    def extremes(self, stated: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        """The fewest cycles, and the most or many."""
        many = self.most or max(self.least, math.ceil(self.mean or 1))
        return [{"cycles": self.least}, {"cycles": many}]
