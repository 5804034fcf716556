"""Selectors that look at how the chains went."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.halting import FixedHalting
from recurlight.halting.base import judges
from recurlight.recursion import Recursion
from recurlight.search.base import Selector, picked
from recurlight.search.chains import Chains

__all__ = ["BestScore", "FirstToHalt", "LowestResidual"]


@dataclass(frozen=True)
class BestScore(Selector):
    """Take the answer of which the halting policy is surest.

    `chosen = argmax_k score[k]`

    Its confidence is that score. It is worth what the scores are: a policy that is sure of wrong answers
    chooses these, so look at the reliability that `recurlight doctor` or `calibrate` print.

    Example:
        >>> BestScore()
        BestScore()

    Reference:
        PTRM (arXiv:2605.19943), whose rollouts a learnt score chooses among.
    """

    def check(self, recursion: Recursion, rules: bool) -> None:
        """Refuse a policy that does not judge."""
        if not judges(recursion.halting):
            raise IncompatibleComponents(
                f"BestScore chooses by the score of halting, and {type(recursion.halting).__name__} does not "
                "judge its answers: set search.selector to Majority"
            )

    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Return the scores."""
        return (chains.score,)

    def confidence(self, chains: Chains, chosen: Tensor) -> Tensor:
        """Return the score of the chosen chain."""
        return picked(chains.score, chosen).float()


@dataclass(frozen=True)
class FirstToHalt(Selector):
    """Take the answer of the chain that is the first to stop by itself.

    `chosen = argmin_k segments[k]` among those that halted, then the highest score

    Chains that are right settle sooner than others. When they stop is the matter of `model.eval_halting`:
    its default waits for a judge that is 90 % sure, which early in training it never is, and `StableAnswer`
    takes any model. All chains run until they stop, whichever is chosen. Where none stops, the highest score
    chooses.

    Example:
        >>> FirstToHalt()
        FirstToHalt()

    Reference:
        Speed is Confidence (arXiv:2601.19085).
    """

    def check(self, recursion: Recursion, rules: bool) -> None:
        """Refuse a model that never stops."""
        if recursion.stopping is None and isinstance(recursion.halting, FixedHalting):
            raise IncompatibleComponents(
                "FirstToHalt chooses the chain that stops first, and with FixedHalting none stops: "
                "set model.eval_halting to StableAnswer, or search.selector to Majority"
            )

    def needs_stops(self) -> bool:
        """Chains must stop."""
        return True

    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Return whether chains halted, how early, and the score."""
        return chains.halted, -chains.segments, chains.score


@dataclass(frozen=True)
class LowestResidual(Selector):
    """Take the answer whose state the last segment changed least.

    `chosen = argmin_k ||answer - before|| / ||answer||`

    For models that settle at fixed points. It takes any model, answers of numbers too, and asks neither for
    scores nor for rules.

    Example:
        >>> LowestResidual()
        LowestResidual()

    Reference:
        Equilibrium reasoners (EqR, arXiv:2605.21488), restarts chosen by their residual.
    """

    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Return the residuals, the lowest first."""
        return (-chains.residual,)
