"""Losses against float64 formulas written here from their definition."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from recurlight.errors import IncompatibleComponents
from recurlight.losses import (
    SequenceLoss,
    SoftmaxCrossEntropy,
    StablemaxCrossEntropy,
    exactly_right,
    log_stablemax,
)
from recurlight.types import IGNORE

NORMAL = 1.2e-38  # float32 has no full digits below
LOSSES = [SoftmaxCrossEntropy(), SoftmaxCrossEntropy(label_smoothing=0.2), StablemaxCrossEntropy()]


def reference_log_stablemax(logits):
    """The definition in float64; the sum of the other scores keeps the digits of p near 1."""
    x = logits.double()
    s = torch.where(x >= 0, x + 1, 1 / (1 - x.clamp(max=0)))
    others = torch.stack(
        [s[..., [k for k in range(s.shape[-1]) if k != v]].sum(-1) for v in range(s.shape[-1])], -1
    )
    return -torch.log1p(others / s)


def draw(*shape, scale=1.0, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 10.0, 1e4, 1e8, 1e30])
def test_log_stablemax_is_accurate_to_1e_6(scale):
    logits = draw(500, 11, scale=scale)
    torch.testing.assert_close(
        log_stablemax(logits).double(), reference_log_stablemax(logits), rtol=1e-6, atol=NORMAL
    )


def test_log_stablemax_is_accurate_where_magnitudes_mix():
    sizes = torch.logspace(-30, 30, 31)
    values = torch.cat([-sizes, torch.zeros(1), sizes])
    logits = torch.stack([values.repeat_interleave(63), values.repeat(63), torch.full((63 * 63,), 0.5)], -1)
    torch.testing.assert_close(
        log_stablemax(logits).double(), reference_log_stablemax(logits), rtol=1e-6, atol=NORMAL
    )


@pytest.mark.parametrize("ends", [(3.4e38, -3.4e38), (3.4e38, 3.4e38), (-3.4e38, -3.4e38)])
def test_log_stablemax_stays_finite_at_the_end_of_float32(ends):
    logits = torch.tensor([[*ends, 0.0]], requires_grad=True)
    log_p = log_stablemax(logits)
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert logits.grad.isfinite().all()


def test_log_stablemax_probabilities_sum_to_one_and_masked_words_get_none():
    logits = torch.tensor([[1.0, -torch.inf, -2.0]], requires_grad=True)
    p = log_stablemax(logits).exp()
    p[0, 0].backward()
    torch.testing.assert_close(p.detach(), torch.tensor([[6 / 7, 0.0, 1 / 7]]))
    assert logits.grad[0, 1] == 0


def test_nan_is_not_hidden():
    assert log_stablemax(torch.tensor([torch.nan, 1.0])).isnan().all()


def test_log_stablemax_gradients_pass_numerical_checks():
    logits = (draw(4, 5, scale=2).double() + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(log_stablemax, (logits,))
    assert torch.autograd.gradgradcheck(log_stablemax, (logits,))


def test_gradient_at_a_logit_of_exactly_zero():
    logits = torch.zeros(1, 4, requires_grad=True)
    log_stablemax(logits)[0, 1].backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.75, -0.25, -0.25]]))


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_gradient_of_float32_agrees_with_autograd_in_float64(scale):
    logits, labels = (
        draw(6, 7, 11, scale=scale),
        torch.randint(11, (6, 7), generator=torch.Generator().manual_seed(1)),
    )
    ours, exact = logits.clone().requires_grad_(), logits.double().requires_grad_()
    StablemaxCrossEntropy()(ours, labels).sum().backward()
    (-reference_log_stablemax(exact).gather(-1, labels[..., None]).mean(1)).sum().backward()
    worst = (ours.grad.double() - exact.grad).abs().max() / exact.grad.abs().max()
    assert worst < 1e-6


def test_half_precision_is_raised_and_double_kept():
    half = draw(3, 5).bfloat16()
    assert log_stablemax(half).dtype == torch.float32
    assert torch.equal(log_stablemax(half), log_stablemax(half.float()))
    assert log_stablemax(half.double()).dtype == torch.float64


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_of_bfloat16_logits_equals_that_of_their_float32_values(loss):
    half, labels = draw(2, 5, 4).bfloat16(), torch.tensor([[0, 1, 2, 3, 0], [IGNORE, 1, IGNORE, 2, 2]])
    value = loss(half, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(half.float(), labels))


@pytest.mark.parametrize("loss", LOSSES)
def test_each_sample_averages_its_own_supervised_tokens(loss):
    logits, labels = draw(2, 5, 4), torch.tensor([[0, 1, 2, 3, 0], [IGNORE, 1, IGNORE, 2, 2]])
    singles = [loss(logits[1:, t : t + 1], labels[1:, t : t + 1]) for t in (1, 3, 4)]
    torch.testing.assert_close(loss(logits, labels)[1:], torch.stack(singles).mean(0))
    torch.testing.assert_close(loss(logits, labels)[0], loss(logits[:1], labels[:1])[0])


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy, StablemaxCrossEntropy])
def test_every_token_has_the_same_weight_with_tokens(loss):
    """Fails if a long answer's tokens weigh less, or the weight depends on which other samples are there."""
    logits, labels = draw(2, 5, 4), torch.tensor([[0, 1, 2, 3, 0], [IGNORE, 1, IGNORE, 2, 2]])
    singles = [loss()(logits[:, t : t + 1], labels[:, t : t + 1]) for t in range(5)]  # 0 where none counts
    each = loss(tokens=4)(logits, labels)
    torch.testing.assert_close(each.mean(), torch.stack(singles).sum() / 8)  # the mean over all eight
    assert torch.equal(each[1:], loss(tokens=4)(logits[1:], labels[1:]))
    with pytest.raises(IncompatibleComponents, match="tokens=0: give how many are supervised"):
        loss(tokens=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_supervision_give_exact_zeros(loss):
    logits = draw(2, 3, 4).requires_grad_()
    value = loss(logits, torch.tensor([[1, IGNORE, 2], [IGNORE] * 3]))
    value.sum().backward()
    assert value[1] == 0
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[0, 1] == 0).all()
    assert (logits.grad[0, [0, 2]] != 0).all()


def test_softmax_loss_is_the_definition_with_smoothing():
    logits, labels, e = (
        draw(3, 4, 5),
        torch.randint(5, (3, 4), generator=torch.Generator().manual_seed(2)),
        0.3,
    )
    log_p = logits.double().log_softmax(-1)
    expected = -((1 - e) * log_p.gather(-1, labels[..., None])[..., 0] + e * log_p.mean(-1)).mean(1)
    torch.testing.assert_close(
        SoftmaxCrossEntropy(label_smoothing=e)(logits, labels).double(), expected, rtol=1e-6, atol=0
    )


def test_stablemax_loss_of_a_sure_answer_keeps_its_digits():
    loss = StablemaxCrossEntropy()(torch.tensor([[[1e12, 0.0, 0.0]]]), torch.tensor([[0]]))
    torch.testing.assert_close(loss, torch.tensor([2e-12]), rtol=1e-6, atol=0)


def test_gradient_points_the_way_of_softmax():
    """Both losses want the label up and the rest down, for logits of both signs."""
    logits = draw(1, 1, 6, scale=3)
    for loss in LOSSES[::2]:
        x = logits.clone().requires_grad_()
        loss(x, torch.tensor([[2]])).backward()
        assert (x.grad[0, 0] < 0).tolist() == [False, False, True, False, False, False]


def test_arguments_out_of_range_are_refused_in_one_line():
    with pytest.raises(IncompatibleComponents, match=r"label_smoothing=1\.5: give a share") as smoothing:
        SoftmaxCrossEntropy(label_smoothing=1.5)
    with pytest.raises(IncompatibleComponents, match=r"\(2, 3, 4\) and labels \(1, 3\)") as shapes:
        StablemaxCrossEntropy()(torch.zeros(2, 3, 4), torch.zeros(1, 3, dtype=torch.int64))
    assert all("\n" not in str(error.value) for error in (smoothing, shapes))


def test_a_new_loss_is_one_method():
    class Margin(SequenceLoss):
        def token_loss(self, logits, labels):
            return F.relu(1 - logits.gather(-1, labels[..., None])[..., 0])

    logits = torch.tensor([[[0.5, 0.0], [0.0, -1.0], [9.0, 9.0]]])
    assert Margin()(logits, torch.tensor([[0, 1, IGNORE]])).tolist() == [1.25]


def test_a_loss_without_its_method_is_abstract():
    with pytest.raises(TypeError, match="token_loss"):
        SequenceLoss()


def test_exactly_right_needs_every_supervised_token_and_at_least_one():
    logits = F.one_hot(torch.tensor([[0, 1, 2]] * 4), 3).float()
    labels = torch.tensor([[0, 1, 2], [0, IGNORE, 2], [0, 1, 1], [IGNORE] * 3])
    assert exactly_right(logits, labels).tolist() == [True, True, False, False]


def test_stablemax_loss_compiles_without_graph_breaks():
    loss = torch.compile(StablemaxCrossEntropy(), backend="aot_eager", fullgraph=True)
    logits, labels = draw(2, 3, 4).requires_grad_(), torch.tensor([[1, IGNORE, 2], [0, 3, 1]])
    plain = logits.detach().clone().requires_grad_()
    loss(logits, labels).sum().backward()
    StablemaxCrossEntropy()(plain, labels).sum().backward()
    torch.testing.assert_close(logits.grad, plain.grad)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_value_is_read_back_from_the_device(loss):
    """Fake tensors have no values: reading one, as a synchronization would, raises."""
    with FakeTensorMode():
        logits = torch.zeros(2, 3, 4, requires_grad=True)
        labels = torch.zeros(2, 3, dtype=torch.int64)
        loss(logits, labels).sum().backward()
        assert exactly_right(logits, labels).shape == (2,)
    assert logits.grad.shape == (2, 3, 4)
