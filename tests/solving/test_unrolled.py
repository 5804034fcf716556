"""Solvers of 1, 4 and 16 segments as programs: their numbers are the driver's, in torch and in ONNX."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, attention, batch, mixer, opinionated, single

from recurlight import (
    ConvergenceHalting,
    CorrectnessHalting,
    FixedHalting,
    ImplicitGradient,
    LastCycles,
    LastUpdates,
    QLearningHalting,
    Recursion,
    SingleRefiner,
    TwoLevelRefiner,
    export_segment,
    export_solve,
)
from recurlight.solving import bundle


def trm() -> Recursion:
    """One network for both levels."""
    refiner = TwoLevelRefiner(mixer(), latent_steps=1)
    return opinionated(Recursion(SIZES, refiner, LastCycles(1), CorrectnessHalting(), cycles=1))


def hrm() -> Recursion:
    """A network for each level, of attention."""
    refiner = TwoLevelRefiner(attention(), attention(), latent_steps=1)
    return opinionated(Recursion(SIZES, refiner, LastUpdates(2), QLearningHalting(), cycles=1))


def equilibrium() -> Recursion:
    """Solved for a fixed point."""
    refiner = SingleRefiner(mixer())
    return Recursion(SIZES, refiner, ImplicitGradient(), ConvergenceHalting(), cycles=2)


KINDS = (trm, hrm, equilibrium)
SEGMENTS = (1, 4, 16)
CASES = [pytest.param((kind, count), id=f"{kind.__name__}-{count}") for kind in KINDS for count in SEGMENTS]
WRITTEN = [case for case in CASES if case.values[0][1] < 16]
"""Those that are written as ONNX, which takes as long again as the program."""


@pytest.fixture(scope="module")
def unrolled(request):
    """A driver, questions with what it answers, and the program."""
    made, segments = request.param
    recursion, asked = made().eval(), batch(3)
    expected = recursion.solve(asked, segments, adaptive=False)
    return asked, expected, export_solve(recursion, segments)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest: at 10, the driver's own rounding is that."""
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("unrolled", CASES, indirect=True)
def test_a_program_of_many_segments_answers_as_the_driver(unrolled):
    asked, expected, program = unrolled
    found = program.module()(tokens=asked.inputs, task=asked.task)
    same(found["logits"], expected.logits)
    same(found["confidence"], expected.confidence)
    assert torch.equal(found["halted"], expected.halted)


@pytest.mark.parametrize("unrolled", WRITTEN, indirect=True)
def test_onnx_of_many_segments_answers_as_the_driver(unrolled, tmp_path):
    for package in (*bundle.ONNX, "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    import onnxruntime

    asked, expected, program = unrolled
    assert bundle._write_onnx(program, tmp_path / "solve.onnx") == ""
    session = onnxruntime.InferenceSession(tmp_path / "solve.onnx")
    given = {"tokens": asked.inputs.numpy(), "task": asked.task.numpy()}
    logits, halted, confidence = map(torch.from_numpy, session.run(["logits", "halted", "confidence"], given))
    same(logits, expected.logits)
    same(confidence, expected.confidence)
    assert torch.equal(halted, expected.halted)


def test_one_update_is_a_program_too():
    """A model of one level makes one update in a segment of one cycle."""
    recursion, asked = single().eval(), batch(3)
    assert isinstance(recursion.halting, FixedHalting)
    carry = recursion.start(asked)
    state = {"answer": torch.randn(carry.state.answer.shape, generator=torch.Generator().manual_seed(1))}
    carry = carry._replace(state=type(carry.state)(**state), halted=torch.zeros_like(carry.halted))
    with torch.no_grad():
        _, expected, _ = recursion.segment(carry, asked, cycles=1)
        injection = recursion.encoder(asked.inputs, asked.task)
        answer = recursion.refiner.update(carry.state, injection, "answer").answer
    given = {"age": carry.age, "halted": carry.halted, "state": state}
    found = export_segment(recursion, cycles=1).module()(tokens=asked.inputs, task=asked.task, **given)
    same(found["state"]["answer"], answer)
    same(found["logits"], expected.logits)
