"""The recursion of the public HRM-Text model, from numbers that `tests/golden/make_hrm_text.py` has kept.

That script needs the library which has the model, and no test does. It also compares with the published
networks in place, bit for bit, whenever it is run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from golden.make_hrm_text import BACK, CYCLES, FILE, LATENT_STEPS, Squash, ended

from recurlight import GradientWindow, LastPerLevel, QuestionStartRefiner, TwoLevelRefiner, TwoLevelState


class LastOfEachCycle(GradientWindow):
    """The library's window: in each cycle the last latent steps, so many as are told, and the answer."""

    def mask(self, schedule, cycles):
        counts = [1] * (cycles - len(BACK)) + BACK
        return tuple(step >= LATENT_STEPS - count for count in counts for step in range(LATENT_STEPS + 1))


@pytest.fixture
def kept():
    parts = json.loads(Path(FILE).read_text())
    return {
        name: [torch.tensor(part, dtype=torch.float64) for part in value]
        if name in ("latent", "answer", "gradients")
        else torch.tensor(value, dtype=torch.float64)
        for name, value in parts.items()
    }


@pytest.mark.parametrize("kind", [TwoLevelRefiner, QuestionStartRefiner])
def test_the_recursion_is_exactly_the_published_one_where_no_question_is_injected(kind, kept):
    refiner = kind(Squash(*kept["latent"]), Squash(*kept["answer"]), latent_steps=LATENT_STEPS)
    start = TwoLevelState(kept["question"], kept["latent_start"].expand_as(kept["question"]))
    assert torch.equal(ended(refiner, start, torch.zeros_like(kept["question"])), kept["end"])


def test_gradients_reach_the_question_as_in_the_published_model(kept):
    refiner = QuestionStartRefiner(
        Squash(*kept["latent"]), Squash(*kept["answer"]), latent_steps=LATENT_STEPS
    )
    question = kept["question"].requires_grad_()
    start = TwoLevelState(question, kept["latent_start"].expand_as(question))
    end = LastOfEachCycle().run(refiner, start, question, CYCLES)
    found = torch.autograd.grad((end.answer * kept["pull"]).sum(), [question, *refiner.parameters()])
    for gradient, wanted in zip(found, kept["gradients"], strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
        assert gradient.any()


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_the_windows_of_the_paper_are_budgets_of_levels(steps):
    """The authors' rule: of `steps` updates all but one go to the answer, as far as it has so many."""
    answers = min(CYCLES, steps - 1)
    latents = steps - answers
    wanted, latent = [], 0
    for cycle in range(CYCLES):
        for _ in range(LATENT_STEPS):
            wanted.append(latent >= CYCLES * LATENT_STEPS - latents)
            latent += 1
        wanted.append(cycle >= CYCLES - answers)
    schedule = ("latent",) * LATENT_STEPS + ("answer",)
    assert LastPerLevel({"latent": latents, "answer": answers}).mask(schedule, CYCLES) == tuple(wanted)
