"""Checks of stopping rules: right ones pass, and each check finds what it is for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from recurlight import AsTrained, Both, ConfidentAnswer, ConfidentJudge, Either, FixedHalting, StableAnswer
from recurlight.stopping import Stopping
from recurlight.testing import check_stopping


class Soft(AsTrained):
    def look(self, seen, memory):
        return seen.confidence, None


class Mixing(AsTrained):
    def look(self, seen, memory):
        return seen.confidence > seen.confidence.mean(), None


class Counting(AsTrained):
    count = 0

    def look(self, seen, memory):
        Counting.count += 1
        return seen.halts & (Counting.count % 2 == 0), None


@dataclass(frozen=True)
class Haunted(Stopping):
    """Counts looks, and does not begin again with a new sample."""

    def look(self, seen, memory):
        looks = torch.ones_like(seen.age) if memory is None else memory + 1
        return looks > 3, looks


class Unread(AsTrained):
    def __reduce__(self):
        return ConfidentJudge, (1.0,)


BROKEN = {
    "composes": (ConfidentJudge, FixedHalting),
    "decision": (Soft, FixedHalting),
    "rows": (Mixing, FixedHalting),
    "memory": (Counting, FixedHalting),
    "memory ": (Haunted, FixedHalting),
    "copy": (Unread, FixedHalting),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    rule, halting = BROKEN[name]
    found = check_stopping(rule, halting=halting, raises=False)[name.strip()]
    assert found
    assert "\n" not in found


@pytest.mark.parametrize(
    "build",
    [
        AsTrained,
        StableAnswer,
        lambda: StableAnswer(2),
        ConfidentAnswer,
        ConfidentJudge,
        lambda: Both(StableAnswer(), ConfidentJudge()),
        lambda: Either(StableAnswer(2), ConfidentAnswer(0.5)),
    ],
    ids=["trained", "stable", "patient", "answer", "judge", "both", "either"],
)
def test_a_right_rule_passes(build):
    """Fails if a rule of recurlight's own breaks what is asked of others."""
    assert set(check_stopping(build).values()) == {None}
