"""What was found: figures, a verdict on them, and what to change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, Literal, NamedTuple

__all__ = ["Finding", "Report", "Verdict"]

_WIDTH = 110

Verdict = Literal["fine", "watch", "broken", "unjudged"]
"""`unjudged` where there is nothing to judge, as the confidence of a policy that has none."""


class Finding(NamedTuple):
    """What was found about one thing.

    Attributes:
        name: What was looked at.
        verdict: `fine`, `watch`, `broken`, or `unjudged` where there is nothing to judge.
        text: What was found, in a line.
        figures: The same as numbers, by name.
        change: What to change; empty where nothing needs to be.
        curves: Series of numbers worth a picture, by name.
    """

    name: str
    verdict: Verdict
    text: str
    figures: Mapping[str, float] = {}
    change: str = ""
    curves: Mapping[str, Sequence[float]] = {}


class Report(NamedTuple):
    """What `examine` found.

    Attributes:
        title: What was examined, in a line.
        findings: One for each thing that was looked at.

    Example:
        >>> print(Report("4 samples", (Finding("levels", "broken", "latent never changes", {}, "drop it"),)))
        4 samples
        broken    levels  latent never changes
                          change: drop it
    """

    title: str
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return all findings as text that fits a screen."""
        width = 10 + max((len(finding.name) for finding in self.findings), default=0) + 2
        lines = [self.title]
        for finding in self.findings:
            head = f"{finding.verdict:<10}{finding.name:<{width - 10}}"
            lines += wrap(finding.text, _WIDTH, initial_indent=head, subsequent_indent=" " * width)
            change, inside = f"change: {finding.change}" if finding.change else "", " " * width
            lines += wrap(change, _WIDTH, initial_indent=inside, subsequent_indent=inside)
        return "\n".join(lines)

    def finding(self, name: str) -> Finding:
        """Return the finding of that name."""
        return next(finding for finding in self.findings if finding.name == name)

    def scalars(self) -> dict[str, float]:
        """Return every figure that is a number by name, and how many findings are of each bad verdict."""
        found = {name: value for finding in self.findings for name, value in finding.figures.items()}
        verdicts = [finding.verdict for finding in self.findings]
        counts = {name: float(verdicts.count(name)) for name in ("watch", "broken")}
        return {name: value for name, value in found.items() if math.isfinite(value)} | counts

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain data for JSON; None stands for what is not finite."""
        findings = [
            finding._asdict()
            | {"figures": {name: _number(value) for name, value in finding.figures.items()}}
            | {"curves": {name: [_number(v) for v in curve] for name, curve in finding.curves.items()}}
            for finding in self.findings
        ]
        return {"title": self.title, "findings": findings}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
