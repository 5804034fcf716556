"""The penalty on the Jacobian of a cycle, against the whole Jacobian."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, attention, batch
from torch import nn

from recurlight import slots
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, FixedHalting
from recurlight.recursion import Recursion
from recurlight.recursion.compile import compile_cells
from recurlight.refiners import SingleRefiner
from recurlight.supervision import DeepSupervision, JacobianPenalty, OneSegment, Turn, jacobian_square
from recurlight.truncation import LastCycles

from .cases import LOSS, busy, composed, step


class Scaled(nn.Module):
    """A cell whose Jacobian is known: `a` times the identity."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x):
        return self.a * x


def linear(a):
    made = Recursion(SIZES, SingleRefiner(Scaled(a)), LastCycles(1), FixedHalting(), cycles=2, max_segments=1)
    return made.double()


def test_its_mean_is_the_square_of_the_jacobian():
    """Against autograd's whole Jacobian of a cycle of two levels, for one row; within sampling."""
    recursion = composed()
    carry = busy(OneSegment(), recursion, rows=1)
    state, question = carry.state, recursion.encoder(carry.batch.inputs, carry.batch.task).detach()

    def cycle(*levels):
        return tuple(recursion.refiner.cycle(type(state)(*levels), question))

    blocks = torch.autograd.functional.jacobian(cycle, tuple(state))
    size = sum(leaf.numel() for leaf in state)
    whole = sum(block.square().sum() for row in blocks for block in row) / size
    many = slots.repeat(carry, 400)
    torch.manual_seed(0)
    assert jacobian_square(recursion, many).mean().item() == pytest.approx(whole.item(), rel=0.05)


def test_its_gradient_is_that_of_the_square():
    """`||J||_F^2 / F = a^2` for a cycle `a (z + x)`, so the gradient of the penalty is `2 a` a slot."""
    recursion = linear(0.5)
    carry = busy(OneSegment(), recursion, rows=8)
    torch.manual_seed(0)
    square = jacobian_square(recursion, carry)
    assert square.shape == (8,)
    (gradient,) = torch.autograd.grad(square.mean(), recursion.refiner.cell.a)
    assert square.mean().item() == pytest.approx(0.25, rel=0.1)
    assert gradient.item() == pytest.approx(2 * square.mean().item() / 0.5, rel=1e-9)


@pytest.mark.parametrize("inner", [OneSegment(), DeepSupervision(2)], ids=["one", "deep"])
def test_it_adds_to_the_step_of_its_supervision_and_changes_nothing_else(inner):
    recursion = composed(exploration=0.5)
    carry, fresh = busy(OneSegment(), recursion), batch(8, seed=9)
    plain, gradients = step(inner, recursion, carry, fresh, Turn(3))
    with_none, same = step(JacobianPenalty(0.0, inner), recursion, carry, fresh, Turn(3))
    assert torch.equal(plain.loss, with_none.loss)
    for a, b in zip(gradients, same, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    much, _ = step(JacobianPenalty(2.0, inner), recursion, carry, fresh, Turn(3))
    torch.manual_seed(3)
    penalty = jacobian_square(recursion, plain.carry).mean()
    torch.testing.assert_close(much.loss, plain.loss + 2 * penalty)
    kept = zip(slots.leaves(much.carry), slots.leaves(plain.carry), strict=True)
    assert all(torch.equal(a, b) for a, b in kept)


def test_it_makes_a_cycle_contract():
    """Forty steps of gradient descent on the penalty alone halve the square."""
    recursion = composed()
    carry = busy(OneSegment(), recursion)
    optimizer = torch.optim.Adam(recursion.refiner.parameters(), lr=1e-2)
    torch.manual_seed(0)
    before = jacobian_square(recursion, carry).mean().item()
    for _ in range(40):
        optimizer.zero_grad()
        jacobian_square(recursion, carry).mean().backward()
        optimizer.step()
    assert jacobian_square(recursion, carry).mean().item() < before / 2


def test_fused_attention_and_compiled_cells_have_their_second_derivative():
    """Fails where the penalty differentiates kernels that can be differentiated once alone."""
    recursion = Recursion(
        SIZES, SingleRefiner(attention()), LastCycles(1), CorrectnessHalting(), cycles=2, max_segments=2
    )
    compile_cells(recursion.refiner, "aot_eager")
    learnt, gradients = step(JacobianPenalty(1.0), recursion, recursion.start(batch()), batch())
    assert learnt.loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_evaluation_of_a_step_takes_no_penalty():
    recursion = composed()
    carry, fresh = busy(OneSegment(), recursion), batch(8, seed=9)
    with torch.no_grad():
        loss = JacobianPenalty(5.0).step(recursion, carry, fresh, LOSS, Turn(0)).loss
        assert torch.equal(loss, OneSegment().step(recursion, carry, fresh, LOSS, Turn(0)).loss)


def test_a_weight_below_zero_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"^JacobianPenalty got weight=-1.0: give 0 or more"):
        JacobianPenalty(-1.0)
