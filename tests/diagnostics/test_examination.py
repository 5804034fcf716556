"""Verdicts: those on a trained driver, and others on faults that are planted in it."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from helpers import SIZES, batch, numbers, trm

from recurlight import (
    IGNORE,
    AndersonSolver,
    Batch,
    ConvergenceHalting,
    DataError,
    EveryUpdate,
    FixedHalting,
    ImplicitGradient,
    IncompatibleComponents,
    LastCycles,
    LastUpdates,
    NeumannGradient,
    PhantomGradient,
    PicardSolver,
    QLearningHalting,
    Recursion,
    SingleRefiner,
    SoftmaxCrossEntropy,
    SparseTable,
    TokenEncoder,
    examine,
)
from recurlight.diagnostics import GradientMatch
from recurlight.diagnostics.gradients import alignment
from recurlight.diagnostics.solvers import convergence
from recurlight.recursion import compile_cells

from .planted import Dead, Deaf, Overshooting, Swinging, learnt, linear

LOSS = SoftmaxCrossEntropy()
ASKED = [batch(64, seed=10**6)]


@pytest.fixture(scope="module")
def good() -> Recursion:
    return learnt(600)


@pytest.fixture
def trained(good) -> Recursion:
    """A copy, in which faults can be planted."""
    return copy.deepcopy(good)


def found(recursion, name, **settings):
    return examine(recursion, ASKED, LOSS, **settings).finding(name)


def test_a_trained_driver_is_fine(good):
    """Fails if a threshold is too strict, or a bad verdict is given where nothing is wrong."""
    report = examine(good, ASKED, LOSS)
    verdicts = {finding.name: finding.verdict for finding in report.findings}
    names = ("residual", "cycles", "spectrum", "gradient", "halting", "levels")
    assert verdicts == {**dict.fromkeys(names, "fine"), "solver": "unjudged"}
    assert report.finding("halting").figures["accuracy"] > 0.7
    assert not any(finding.change for finding in report.findings)
    assert report.scalars()["broken"] == report.scalars()["watch"] == 0


def test_a_radius_above_1_is_watched_with_a_window_and_broken_without(trained):
    """Fails if either verdict is missed; HRM and TRM are above 1 and answer well."""
    trained.refiner = Overshooting(trained.refiner)
    planted = found(trained, "spectrum")
    assert planted.verdict == "watch"
    assert planted.figures["radius"] > 1.5
    assert planted.figures["radius_above_1"] > 0.9
    trained.reconfigure(truncation=ImplicitGradient())
    assert found(trained, "spectrum").verdict == "broken"
    trained.reconfigure(truncation=PhantomGradient(steps=2))
    assert found(trained, "spectrum").verdict == "watch"


@pytest.mark.parametrize(("largest", "verdict"), [(0.99, "fine"), (1.01, "broken")])
def test_the_line_is_at_1(largest, verdict):
    assert found(linear(largest, ImplicitGradient()), "spectrum").verdict == verdict


@pytest.mark.parametrize(("bias", "change"), [(-20.0, "higher halting_weight"), (20.0, "more exploration")])
def test_a_halting_head_that_is_not_calibrated_is_broken(trained, bias, change):
    """Fails if a head that is never sure, or always, passes, or is told to do the opposite."""
    answers = trained if bias < 0 else trm(max_segments=2)  # one mostly right, one never
    answers.halting.head.bias.data.fill_(bias)
    answers.halting.head.weight.data.zero_()
    planted = found(answers, "halting")
    assert planted.verdict == "broken"
    assert planted.figures["calibration_error"] > 0.7
    assert change in planted.change


@pytest.mark.parametrize("kind", [Dead, Deaf])
def test_a_dead_level_is_broken(trained, kind):
    """Fails if a level that is never written, or always with the same, passes, or another is named."""
    trained.refiner = kind(trained.refiner)
    planted = found(trained, "levels")
    assert planted.verdict == "broken"
    assert planted.text == "latent never changes"
    assert planted.figures == {"still_latent": 1, "still_answer": 0}


def test_slots_in_which_a_level_is_stuck_are_watched(trained):
    """Fails if only a level that is dead everywhere is seen."""

    class Stuck(Dead):
        def update(self, state, injection, level):
            after = super(Dead, self).update(state, injection, level)
            return after._replace(latent=torch.cat([state.latent[:16], after.latent[16:]]))

    trained.refiner = Stuck(trained.refiner)
    planted = found(trained, "levels")
    assert planted.verdict == "watch"
    assert "latent in 25% of slots" in planted.text


SOLVERS = {
    "fine": ImplicitGradient(PicardSolver(tolerance=1e-3), AndersonSolver(tolerance=1e-3)),
    "watch": ImplicitGradient(PicardSolver(tolerance=1e-9), PicardSolver(tolerance=1e-9), backward_steps=8),
    "broken": ImplicitGradient(PicardSolver(damping=0.02), PicardSolver(damping=0.02), backward_steps=2),
}


@pytest.mark.parametrize("verdict", SOLVERS)
def test_a_solver_that_does_not_converge_is_broken(verdict):
    """Fails if residuals are not held to the tolerance, or a miss by far is not told from a small one."""
    planted = found(linear(0.5, SOLVERS[verdict], cycles=12), "solver")
    assert planted.verdict == verdict
    assert ("backward_steps" in planted.change) == (verdict != "fine")


@pytest.mark.parametrize(("largest", "verdict"), [(0.5, "fine"), (-1.5, "broken")])
def test_a_series_whose_terms_do_not_shrink_is_broken(largest, verdict):
    """Fails if only solves are held to something: the fixed point is found, and the gradient is wrong."""
    truncation = NeumannGradient(steps=5, solver=AndersonSolver(tolerance=1e-3))
    planted = found(linear(largest, truncation, cycles=40), "solver")
    assert planted.figures["solver_forward"] <= 1e-3
    assert planted.verdict == verdict
    assert ("series" in planted.change) == (verdict == "broken")


def test_rows_that_a_solver_takes_for_solved_are_not_held_against_it():
    """Fails if an absolute tolerance that was met counts for nothing, or a half of the rows for all."""
    said = {"forward_residual": 0.5, "forward_converged": 1.0, "backward_residual": 0.0}
    assert convergence(ImplicitGradient(), said).verdict == "fine"
    assert convergence(ImplicitGradient(), said | {"forward_converged": 0.5}).verdict == "broken"


def test_an_unconverged_solver_of_a_trained_driver_is_broken(trained):
    """Fails if the residuals are of another run than the driver's own."""
    trained.reconfigure(truncation=ImplicitGradient(PicardSolver(damping=0.1)))
    assert found(trained, "solver").verdict == "broken"
    assert trained.truncation.diagnostics() == {}


def test_a_state_that_swings_is_watched(trained):
    """Fails if a period of two segments is not seen, or of what is swung too often to be."""
    trained.refiner = Swinging(trained.refiner)
    planted = found(trained, "cycles", cycles=1)
    assert planted.verdict == "watch"
    assert "100% return to an earlier state, mostly after 2 segments" in planted.text
    assert found(trained, "cycles", cycles=2).figures == {"settled": 1, "cycling": 0}
    assert found(trained, "cycles", segments=1).verdict == "unjudged"


def test_a_gradient_that_leads_uphill_is_broken():
    """Fails if the sign is lost: of `-1.5 x + 2.25 x`, which rises with `x`, the last update sees a fall."""
    recursion = linear(1.0, LastUpdates(1), cycles=2)
    recursion.refiner.cell.weight.data = -1.5 * torch.eye(SIZES.width, dtype=torch.float64)
    for part in (recursion.refiner, recursion.decoder):
        part.requires_grad_(False)
    planted = found(recursion, "gradient")
    assert planted.verdict == "broken"
    assert planted.figures == pytest.approx({"cosine": -1.0, "norm_ratio": 2.0})


@pytest.mark.parametrize(("cosine", "verdict"), [(0.11, "fine"), (0.09, "watch"), (0.0, "broken")])
def test_the_lines_of_the_cosine(cosine, verdict):
    assert alignment(GradientMatch(cosine, 1.0, {})).verdict == verdict


def test_a_state_that_is_not_finite_is_broken_and_the_rest_is_honest(trained):
    """Fails if NaN passes a comparison, or breaks JSON."""
    trained.refiner.cells()["latent"].register_forward_hook(lambda *a: a[2] * torch.nan)
    report = examine(trained, ASKED, LOSS)
    assert report.finding("residual").verdict == "broken"
    assert report.finding("spectrum").verdict == "unjudged"
    assert report.finding("gradient").verdict == "unjudged"
    assert report.finding("cycles").verdict == "unjudged"
    assert report.finding("levels").verdict == "unjudged"
    assert "NaN" not in json.dumps(report.plain())
    assert all(value == value for value in report.scalars().values())


def test_a_driver_of_which_nothing_is_trained_is_examined():
    """Fails if what is frozen whole ends in an error of torch."""
    recursion = linear(0.5)
    recursion.requires_grad_(False)
    assert found(recursion, "gradient").verdict == "unjudged"


def test_what_grows_is_watched():
    recursion = linear(0.5, LastCycles(1))
    recursion.refiner.cell.register_forward_hook(lambda cell, x, y: y * (1 + (-1.0) ** len(calls) * 0.9))
    calls = []
    recursion.refiner.cell.register_forward_hook(lambda *a: calls.append(1))
    assert found(recursion, "residual").verdict == "watch"


def test_a_policy_without_confidence_is_not_judged(trained):
    """Fails if confidences of zero are held against the answers."""
    for policy in (FixedHalting(), ConvergenceHalting()):
        trained.halting = policy
        assert found(trained, "halting").verdict == "unjudged"


def test_an_examination_leaves_everything_as_it_was():
    """Fails if weights, modes, generators, tables, or what training remembers are touched, or by chance."""
    sizes = SIZES._replace(prefix=1, tasks=3)
    encoder = TokenEncoder(task_table=SparseTable())
    truncation = ImplicitGradient()
    recursion = trm(QLearningHalting(), sizes=sizes, encoder=encoder)
    recursion.reconfigure(truncation=truncation)
    asked = batch(4, sizes=sizes)
    _, segment, _ = recursion.segment(recursion.start(asked), asked)
    LOSS(segment.logits, asked.labels).mean().backward()
    said, received = truncation.diagnostics(), list(encoder.task_table.received)
    weights = {name: tensor.clone() for name, tensor in recursion.state_dict().items()}
    grads = [weight.grad.clone() for weight in recursion.parameters() if weight.grad is not None]
    state = torch.get_rng_state()
    reports = [examine(recursion, [asked]).plain() for _ in range(2)]
    assert reports[0] == reports[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], tensor) for name, tensor in recursion.state_dict().items())
    after = [weight.grad for weight in recursion.parameters() if weight.grad is not None]
    assert all(torch.equal(*pair) for pair in zip(grads, after, strict=True))
    assert recursion.training
    assert all(part.training for part in recursion.modules())
    assert recursion.truncation is truncation
    assert truncation.diagnostics() == said
    assert len(encoder.task_table.received) == len(received) == 1


def test_compiled_cells_are_examined_as_they_are():
    """Fails if a compiled backward pass is run again and again, which torch refuses."""
    plain, compiled = trm(), trm()
    compile_cells(compiled.refiner, backend="aot_eager")
    expected = examine(plain, ASKED).scalars()
    assert examine(compiled, ASKED).scalars() == expected


def test_samples_without_an_answer_are_left_out():
    """Fails if a row of padding is measured, or several batches are not taken together."""
    recursion, asked = trm(), batch(6)
    padded = asked._replace(labels=torch.cat([asked.labels[:4], torch.full_like(asked.labels[4:], IGNORE)]))
    parts = [Batch(*(field[rows] for field in asked)) for rows in (slice(0, 1), slice(1, 4))]
    assert examine(recursion, [padded]).plain() == examine(recursion, parts).plain()
    assert examine(recursion, [padded]).title.startswith(
        "4 samples, 4 x 2 cycles: TwoLevelRefiner, LastCycles"
    )


def test_numbers_are_examined_too():
    from helpers import NUMBERS, mixer

    recursion = Recursion(NUMBERS, SingleRefiner(mixer()), EveryUpdate(), FixedHalting(), max_segments=2)
    report = examine(recursion, [numbers()])
    assert report.finding("gradient").figures["cosine"] == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_examined_is_told_in_a_line():
    unknown = ASKED[0]._replace(labels=torch.full_like(ASKED[0].labels, IGNORE))
    for asked in ([unknown], []):
        with pytest.raises(DataError, match="no sample whose answer is known: give batches with supervised"):
            examine(trm(), asked)
    with pytest.raises(IncompatibleComponents, match=r"examine got .* for batches: give a list"):
        examine(trm(), ASKED[0])
    with pytest.raises(IncompatibleComponents, match="the data has 9 tokens"):
        examine(trm(), [batch(2, sizes=SIZES._replace(tokens=9))])
    with pytest.raises(IncompatibleComponents, match="segments=0: give 1 or more"):
        examine(trm(), ASKED, segments=0)


def test_a_report_fits_a_screen(trained):
    """Fails at the longest of all texts, if every finding has something to change."""
    trained.refiner = Overshooting(trained.refiner)
    trained.halting.head.bias.data.fill_(-20.0)
    trained.reconfigure(truncation=ImplicitGradient(PicardSolver(damping=0.02), PicardSolver(damping=0.02)))
    report = examine(trained, ASKED, LOSS)
    lines = report.text().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 110
    assert [line.split()[0] for line in lines if not line.startswith(" ")][1:] == [
        finding.verdict for finding in report.findings
    ]
    assert str(report) == report.text()
