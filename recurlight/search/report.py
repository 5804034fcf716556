"""What a search came to, as figures, as a table and as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurlight.diagnostics.calibration import coverage_risk

__all__ = ["Covered", "SearchReport", "Width", "covered"]

_SHOWN = 0.0, 0.5, 0.8, 0.9, 0.95, 1.0
"""Confidences whose coverage the table tells."""

_POINTS = 100
"""Thresholds in a curve, at most, beside those that are shown."""

_DIGITS = 7  # all that float32 has: 9 votes of 10 are 0.9, and no less


class Width(NamedTuple):
    """What the first `width` chains come to.

    Attributes:
        width: Chains of a question.
        segments: Segments spent on a question in the mean.
        updates: Applications of a cell spent on a question in the mean.
        exact: Share of questions whose chosen answer is right.
        oracle: Share of questions for which some chain is right: pass@`width`.
        confidence: Mean confidence of the chosen answers.
    """

    width: int
    segments: float
    updates: float
    exact: float
    oracle: float
    confidence: float

    @property
    def gap(self) -> float:
        """Share of questions that some chain answers rightly and the selector wrongly."""
        return self.oracle - self.exact


class Covered(NamedTuple):
    """What is answered when an answer must be so sure.

    Attributes:
        confidence: Least confidence of an answer.
        coverage: Share of questions that are answered.
        risk: Share of wrong answers among these; 0 where nothing is answered.
    """

    confidence: float
    coverage: float
    risk: float


@dataclass(frozen=True)
class SearchReport:
    """What a search came to on one split.

    Args:
        search: The search, with its settings.
        questions: Questions that were counted.
        widths: After 1, 2, 4, ... chains.
        curve: Coverage against risk of the whole search, from the surest answers to all.
        risk: Mean risk over all shares of coverage, of the whole search.
    """

    search: str
    questions: int
    widths: list[Width]
    curve: list[Covered]
    risk: float

    def figures(self) -> dict[str, float]:
        """Return figures by name, those of the whole search under the names that every evaluation has."""
        last = self.widths[-1]
        found = {"exact_accuracy": last.exact, "segments": last.segments, "updates": last.updates}
        for each in self.widths:
            found |= {f"exact_of_{each.width}": each.exact, f"pass_of_{each.width}": each.oracle}
        return found | {"oracle_gap": last.gap, "mean_risk": self.risk}

    def text(self) -> str:
        """Write two tables: accuracy against updates, and coverage against risk."""
        lines = [f"chains{'segments':>10}{'updates':>10}{'exact':>9}{'pass@k':>9}{'gap':>8}"]
        for each in self.widths:
            shares = f"{each.exact:9.1%}{each.oracle:9.1%}{each.gap:8.1%}"
            lines.append(f"{each.width:6}{each.segments:10.4g}{each.updates:10.4g}{shares}")
        lines.append("so sure  answered  wrong among them")
        for least in _SHOWN:
            at = next((each for each in reversed(self.curve) if each.confidence >= least), None)
            told = f"{at.coverage:10.1%}{at.risk:18.1%}" if at else f"{0:10.1%}{'-':>18}"
            lines.append(f"{least:7.2f}{told}")
        return "\n".join(lines)

    def plain(self) -> dict[str, Any]:
        """Return all of it but the settings as plain data."""
        widths = [each._asdict() | {"gap": each.gap} for each in self.widths]
        curve = [each._asdict() for each in self.curve]
        return {"questions": self.questions, "widths": widths, "curve": curve, "mean_risk": self.risk}


def covered(confidence: Tensor, right: Tensor) -> tuple[list[Covered], float]:
    """Return coverage against risk at the confidences that there are, and the mean risk.

    Answers that are equally sure are taken together, so that neither depends on the order of the rows.

    Args:
        confidence: `(n,)`.
        right: Whether each answer is right, `(n,)` bool.

    Example:
        >>> import torch
        >>> curve, risk = covered(torch.tensor([0.5, 1.0]), torch.tensor([False, True]))
        >>> curve[0], curve[1], risk
        (Covered(confidence=1.0, coverage=0.5, risk=0.0),
         Covered(confidence=0.5, coverage=1.0, risk=0.5), 0.25)
    """
    found = coverage_risk(confidence, right)
    sure = confidence.sort(descending=True, stable=True).values
    last = (sure.diff() != 0).nonzero().squeeze(1).tolist()  # answers that are as sure come together
    ends = {*last[:: max(1, -(-len(last) // _POINTS))], len(sure) - 1}
    ends |= {int((sure >= least).sum()) - 1 for least in _SHOWN}
    curve = [
        Covered(round(sure[end].item(), _DIGITS), found.coverage[end].item(), found.risk[end].item())
        for end in sorted(ends - {-1})
    ]
    together = found.risk[torch.searchsorted(-sure, -sure, right=True) - 1]  # in whichever order rows came
    return curve, together.mean().item() if len(sure) else 0.0
