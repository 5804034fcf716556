"""The published updates, written out."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, attention, batch, bound, mixer, seeded

from recurlight import Recursion
from recurlight.errors import IncompatibleComponents
from recurlight.halting import FixedHalting
from recurlight.refiners import (
    AddedInjection,
    DecayInjection,
    InjectedRefiner,
    ProjectedInjection,
    QuestionStartRefiner,
    SingleRefiner,
    SingleState,
    TwoLevelRefiner,
    TwoLevelState,
)
from recurlight.truncation import EveryUpdate, LastPerLevel


def draw(seed):
    shape = (2, SIZES.positions, SIZES.width)
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_single():
    refiner = bound(SingleRefiner(attention())).double()
    y, x = draw(1), draw(2)
    close(refiner.update(SingleState(y), x, "answer").answer, refiner.cell(y + x))


def test_two_levels_with_two_cells():
    """HRM: the low level sees everything, the high level only the low one."""
    refiner = bound(TwoLevelRefiner(mixer(), attention(), latent_steps=3)).double()
    y, z, x = draw(1), draw(2), draw(3)
    end = refiner.cycle(TwoLevelState(answer=y, latent=z), x)
    for _ in range(3):
        z = refiner.latent(z + y + x)
    y = refiner.answer(y + z)
    close(end.latent, z)
    close(end.answer, y)


def test_two_levels_with_one_cell():
    """TRM: the same network; the question tells the latent's updates from the answer's."""
    refiner = bound(TwoLevelRefiner(mixer(), latent_steps=2)).double()
    y, z, x = draw(1), draw(2), draw(3)
    end = refiner.cycle(TwoLevelState(answer=y, latent=z), x)
    cell = refiner.latent
    z = cell(cell(z + y + x) + y + x)
    close(end.latent, z)
    close(end.answer, cell(y + z))
    assert refiner.cells()["answer"] is cell


def test_start_vectors_are_unit_normal_cut_at_two_sigma():
    wide = SIZES._replace(width=4096)
    refiner = bound(TwoLevelRefiner(torch.nn.Identity()), wide)
    for start in (refiner.answer_start, refiner.latent_start):
        assert abs(start.vector.std().item() - 1) < 0.05
        assert start.vector.abs().max() < 2.28
    assert not torch.equal(refiner.answer_start.vector, refiner.latent_start.vector)


def injected(inject, **settings):
    refiner = bound(InjectedRefiner(mixer(), inject, **settings)).double()
    for weight in refiner.inject.parameters():  # away from where learning begins
        weight.data += 0.1 * torch.randn(weight.shape, generator=seeded(7), dtype=torch.float64)
    return refiner


def test_added():
    refiner = injected(AddedInjection())
    y, x = draw(1), draw(2)
    close(refiner.update(SingleState(y), x, "answer").answer, refiner.cell(y + x))


def test_projected():
    """Huginn: one matrix for the level beside the question."""
    refiner = injected(ProjectedInjection())
    y, x = draw(1), draw(2)
    of_level, of_question = refiner.inject.project.weight.split(SIZES.width, dim=1)
    entered = torch.einsum("bnd,ed->bne", y, of_level) + torch.einsum("bnd,ed->bne", x, of_question)
    close(refiner.update(SingleState(y), x, "answer").answer, refiner.cell(entered))


def test_decay():
    """Parcae: the exact solution of `y' = -rate y` over a step, and Euler's for what the question adds."""
    refiner = injected(DecayInjection())
    inject, y, x = refiner.inject, draw(1), draw(2)
    step, rate = torch.log1p(inject.raw_step.exp()), inject.log_rate.exp()
    generator = torch.diag(-rate)
    kept = torch.einsum("bnd,ed->bne", y, torch.matrix_exp(torch.diag(step) @ generator))
    entered = kept + step * torch.einsum("bnd,ed->bne", x, inject.enter.weight)
    close(refiner.update(SingleState(y), x, "answer").answer, refiner.cell(entered))


def test_decay_begins_at_its_retention_and_never_grows():
    inject = bound(DecayInjection(retention=0.3))
    one, zero = (torch.full((1, SIZES.positions, SIZES.width), value) for value in (1.0, 0.0))
    torch.testing.assert_close(inject(one, zero), 0.3 * one)
    for raw, rate in [(-20.0, -20.0), (-5.0, 5.0), (5.0, -5.0), (20.0, 20.0)]:
        inject.raw_step.data.fill_(raw)
        inject.log_rate.data.fill_(rate)
        kept = inject(one, zero)
        assert ((kept >= 0) & (kept <= 1)).all()


@pytest.mark.parametrize("retention", [0.0, 1.0])
def test_a_retention_that_keeps_all_or_nothing_is_refused(retention):
    with pytest.raises(IncompatibleComponents, match="DecayInjection got retention"):
        DecayInjection(retention)


def test_noise_starts_are_normal_cut_at_three_sigma_and_drawn_for_each_row():
    refiner = injected(AddedInjection(), sigma=0.5)
    wide = torch.zeros(4, 500, SIZES.width)
    torch.manual_seed(0)
    start = refiner.initial_state(wide).answer
    assert start.abs().max() <= 1.5
    assert start.abs().max() > 1.4
    assert start.mean().abs() < 0.01
    assert start.std().item() == pytest.approx(0.5 * 0.9867, abs=0.01)  # of a normal cut at three sigma
    assert (start.abs() < 0.5).float().mean().item() == pytest.approx(0.6827 / 0.9973, abs=0.01)
    assert len({row.sum().item() for row in start}) == 4
    torch.manual_seed(0)
    exact = refiner.initial_state(wide.double()).answer
    assert torch.equal(exact, start.double())


def test_noise_below_zero_is_refused():
    with pytest.raises(IncompatibleComponents, match="InjectedRefiner got sigma=-1"):
        InjectedRefiner(mixer(), AddedInjection(), sigma=-1.0)


def test_question_start():
    """HRM-Text: the question is where the answer begins, and enters nowhere else."""
    refiner = bound(QuestionStartRefiner(mixer(), attention(), latent_steps=3)).double()
    x = draw(1)
    start = refiner.initial_state(x)
    assert start.answer is x
    y, z = x, start.latent
    for _ in range(2):
        for _ in range(3):
            z = refiner.latent(z + y)
        y = refiner.answer(y + z)
    end = start
    for _ in range(2):
        end = refiner.cycle(end, torch.full_like(x, torch.nan))
    close(end.latent, z)
    close(end.answer, y)


def question_start(truncation):
    refiner = QuestionStartRefiner(mixer(), attention(), latent_steps=3)
    return Recursion(SIZES, refiner, truncation, FixedHalting(), cycles=2, max_segments=2, exploration=0.0)


@pytest.mark.parametrize("truncation", [EveryUpdate(), LastPerLevel({"latent": 1, "answer": 2})])
def test_the_encoder_learns_of_a_question_at_the_start_in_the_first_segment_alone(truncation):
    recursion, fresh = question_start(truncation), batch()
    carry = recursion.start(fresh)
    for reached in (True, False):
        recursion.zero_grad()
        carry, segment, _ = recursion.segment(carry, fresh)
        segment.logits.square().sum().backward()
        gradient = recursion.encoder.token.grad
        assert gradient is not None  # in every step, as distributed training asks
        assert bool(gradient.any()) is reached
