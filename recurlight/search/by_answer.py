"""Selectors that look at the answers alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.recursion import Recursion
from recurlight.search.base import Selector, picked
from recurlight.search.chains import Chains

__all__ = ["LastAnswer", "Majority", "Verified"]


@dataclass(frozen=True)
class LastAnswer(Selector):
    """Take the last answer of chain 0, the question as it is: what the model says without a search.

    `chosen = 0`

    The other chains only tell how sure that is. Use it to abstain, or as the figure to beat.

    Example:
        >>> LastAnswer()
        LastAnswer()
    """

    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Return nothing: the lowest chain is the best."""
        return ()


@dataclass(frozen=True)
class Majority(Selector):
    """Take the answer that most chains give, whole answers compared.

    `chosen = argmax_k votes[k]`, then the highest score

    Wrong answers differ from chain to chain, right ones do not. It takes any model whose answers are tokens,
    and its confidence, the share of the votes, asks for no halting score. Where a task has rules, `Verified`
    is better still.

    Example:
        >>> Majority()
        Majority()

    Reference:
        Wang et al., Self-consistency improves chain of thought reasoning in language models
        (arXiv:2203.11171).
    """

    def check(self, recursion: Recursion, rules: bool) -> None:
        """Refuse answers that are numbers: no two are equal."""
        if recursion.sizes.targets:
            raise IncompatibleComponents(
                "Majority counts equal answers, and these are numbers: set search.selector to LowestResidual"
            )

    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Return votes and score."""
        return chains.votes, chains.score


@dataclass(frozen=True)
class Verified(Selector):
    """Take an answer that keeps the rules of the task; among several, or where none does, another selector's.

    `chosen = argmax_k holds[k]`, then as `otherwise`

    Checking an answer is easy where finding it is hard, and asks for no answer key: a filled Sudoku, a path
    through a maze, a sum. Confidence is 1 where the answer holds and 0 where it does not, so that abstaining
    costs nothing. Where a question has one answer only, one that holds is right.

    Args:
        otherwise: Chooses among those that hold, and where none does.

    Example:
        >>> Verified()
        Verified(otherwise=Majority())
    """

    otherwise: Selector = field(default_factory=Majority)

    def check(self, recursion: Recursion, rules: bool) -> None:
        """Refuse a task without rules."""
        self.otherwise.check(recursion, rules)
        if not rules:
            raise IncompatibleComponents(
                "Verified asks for the rules of the task, and this one has none: "
                "set search.selector to Majority"
            )

    def needs_stops(self) -> bool:
        """As the other selector."""
        return self.otherwise.needs_stops()

    def values(self, chains: Chains) -> tuple[Tensor, ...]:
        """Return whether answers hold, and what the other selector says."""
        return _holds(chains), *self.otherwise.values(chains)

    def confidence(self, chains: Chains, chosen: Tensor) -> Tensor:
        """Be sure of what holds."""
        return picked(_holds(chains), chosen).float()


def _holds(chains: Chains) -> Tensor:
    assert chains.holds is not None  # see `Verified.check`
    return chains.holds
