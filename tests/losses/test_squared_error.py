"""The loss of numbers against its definition in float64, and which answers it calls right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import seeded
from torch._subclasses.fake_tensor import FakeTensorMode

from recurlight.errors import IncompatibleComponents
from recurlight.losses import MeanSquaredError, SoftmaxCrossEntropy, relative_error
from recurlight.types import IGNORE


def drawn(rows=4, positions=6, numbers=3):
    """Outputs and labels, of which some are not supervised, in one row none is."""
    generator = seeded(1)
    outputs = torch.randn(rows, positions, numbers, generator=generator)
    labels = outputs + 0.3 * torch.randn(rows, positions, numbers, generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = torch.nan
    labels[-1] = torch.nan
    return outputs, labels


def pairs(outputs, labels, row):
    """Supervised numbers of a row, in double precision."""
    flat = zip(outputs[row].flatten().tolist(), labels[row].flatten().tolist(), strict=True)
    return np.array([(x, y) for x, y in flat if not math.isnan(y)]).reshape(-1, 2)


def test_the_loss_is_the_mean_square_over_supervised_numbers():
    outputs, labels = drawn()
    expected = [((p := pairs(outputs, labels, row))[:, 0] - p[:, 1]) ** 2 for row in range(3)]
    found = MeanSquaredError()(outputs, labels)
    np.testing.assert_allclose(found[:3].numpy(), [each.mean() for each in expected], rtol=1e-6)
    assert found[3] == 0


def test_the_gradient_is_twice_the_difference_over_the_count_and_zero_elsewhere():
    """Fails if NaN gets into the gradient, as where a difference is masked after it is made."""
    outputs, labels = drawn()
    outputs.requires_grad_()
    MeanSquaredError()(outputs, labels).sum().backward()
    counts = (~labels.isnan()).sum((1, 2)).clamp(min=1)[:, None, None]
    expected = (2 * (outputs - labels).double() / counts).nan_to_num(0.0)
    torch.testing.assert_close(outputs.grad.double(), expected.detach(), rtol=1e-6, atol=1e-9)


def test_the_relative_error_is_that_of_norms():
    outputs, labels = drawn()
    for row in range(3):
        found, right = pairs(outputs, labels, row).T
        expected = np.linalg.norm(found - right) / np.linalg.norm(right)
        assert relative_error(outputs, labels)[row].item() == pytest.approx(expected, rel=1e-6)
    assert relative_error(outputs, labels)[3].isnan()


@pytest.mark.parametrize("absolute", [False, True])
def test_right_is_what_is_within_the_tolerance_and_nothing_beyond(absolute):
    outputs, labels = drawn()
    for row in range(3):
        found, right = pairs(outputs, labels, row).T
        norm = (lambda x: np.abs(x).max()) if absolute else np.linalg.norm
        error = norm(found - right) / (1 if absolute else norm(right))
        below, above = (MeanSquaredError(error * factor, absolute) for factor in (0.999, 1.001))
        assert not below.right(outputs, labels)[row]
        assert above.right(outputs, labels)[row]
        assert not above.right(outputs, labels)[3]


def test_an_answer_of_zeros_has_to_be_met_exactly_unless_the_tolerance_is_absolute():
    labels, near = torch.zeros(2, 3, 1), torch.zeros(2, 3, 1)
    near[1, 2] = 1e-3
    assert MeanSquaredError(0.1).right(near, labels).tolist() == [True, False]
    assert MeanSquaredError(0.1, absolute=True).right(near, labels).tolist() == [True, True]


def test_an_answer_that_is_not_finite_is_never_right():
    labels, wrong = torch.ones(2, 3, 1), torch.ones(2, 3, 1)
    wrong[0, 1], wrong[1, 1] = torch.nan, torch.inf
    for absolute in (False, True):
        assert not MeanSquaredError(0.1, absolute).right(wrong, labels).any()


def test_half_precisions_are_raised_and_double_kept():
    outputs, labels = drawn()
    half = outputs.bfloat16()
    found = MeanSquaredError()(half, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, MeanSquaredError()(half.float(), labels))
    assert MeanSquaredError()(outputs.double(), labels).dtype == torch.float64


REFUSED = {
    "tokens": (
        lambda x, y: (x, torch.full((4, 6), IGNORE)),
        "give floating-point logits (B, L, V) and floating-",
    ),
    "flat": (lambda x, y: (x, y[:, :, 0]), "and labels (4, 6): give logits (B, L, V) and labels (B, L, G)"),
    "positions": (lambda x, y: (x, y[:, :5]), "got logits (4, 6, 3) and labels (4, 5, 3)"),
    "numbers": (lambda x, y: (x, y[:, :, :2]), "a decoder that reads out as many numbers as the labels have"),
    "one, which would spread": (lambda x, y: (x[:, :, :1], y), "got outputs (4, 6, 1) and labels (4, 6, 3)"),
    "list": (lambda x, y: (x, y.tolist()), "list as labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_forms_are_refused_in_one_line(case):
    change, message = REFUSED[case]
    with pytest.raises(IncompatibleComponents) as caught:
        MeanSquaredError()(*change(*drawn()))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_of_tokens_does_not_take_numbers():
    with pytest.raises(IncompatibleComponents, match="int64 labels"):
        SoftmaxCrossEntropy()(*drawn())


@pytest.mark.parametrize("tolerance", [0.0, -1.0])
def test_a_tolerance_that_nothing_meets_is_refused(tolerance):
    with pytest.raises(
        IncompatibleComponents, match=rf"MeanSquaredError got tolerance={tolerance}: give more"
    ):
        MeanSquaredError(tolerance)


@pytest.mark.parametrize("absolute", [False, True])
def test_no_value_is_read_back_from_the_device(absolute):
    """Fake tensors have no values: reading one, as a synchronization would, raises."""
    loss = MeanSquaredError(absolute=absolute)
    with FakeTensorMode():
        outputs, labels = torch.zeros(2, 3, 1, requires_grad=True), torch.zeros(2, 3, 1)
        loss(outputs, labels).sum().backward()
        assert loss.right(outputs, labels).shape == (2,)
        assert relative_error(outputs, labels).shape == (2,)
