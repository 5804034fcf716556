"""AdamATan2 against a scalar loop in float64 written here from its formula."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from recurlight.errors import IncompatibleComponents
from recurlight.optim import AdamATan2


def scalar_loop(weight, grads, *, lr, betas, weight_decay, a=1.0, b=1.0):
    """Apply the formula to Python floats."""
    m = v = 0.0
    for t, g in enumerate(grads, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        step = a / (1 - betas[0] ** t) * math.atan2(m, b * math.sqrt(v / (1 - betas[1] ** t)))
        weight = (1 - lr * weight_decay) * weight - lr * step
    return weight


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def feed(optimizer, grads):
    """Step once for each tuple of gradients, None meaning no gradient."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for row in grads:
        for param, grad in zip(params, row, strict=True):
            param.grad = None if grad is None else grad.clone()
        optimizer.step()


@pytest.mark.parametrize("foreach", [False, True, None])
def test_two_groups_follow_the_scalar_loop(foreach):
    first, second = torch.nn.Parameter(draw(3, 2, seed=1)), torch.nn.Parameter(draw(4, seed=2))
    common = {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.5}
    other = {"lr": 0.02, "betas": (0.9, 0.99), "weight_decay": 0.0, "a": 1.27, "b": 2.0}
    starts = first.tolist(), second.tolist()
    optimizer = AdamATan2([{"params": [first]}, {"params": [second], **other}], **common, foreach=foreach)
    grads = [(draw(3, 2, seed=10 + t), draw(4, seed=20 + t)) for t in range(6)]
    feed(optimizer, grads)
    expected_first = [
        [scalar_loop(starts[0][i][j], [g[0][i, j].item() for g in grads], **common) for j in range(2)]
        for i in range(3)
    ]
    expected_second = [scalar_loop(starts[1][i], [g[1][i].item() for g in grads], **other) for i in range(4)]
    torch.testing.assert_close(
        first.data, torch.tensor(expected_first, dtype=torch.float64), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        second.data, torch.tensor(expected_second, dtype=torch.float64), rtol=1e-12, atol=0
    )


def test_defaults_are_the_published_ones():
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = AdamATan2([weight])
    feed(optimizer, [(torch.tensor([g], dtype=torch.float64),) for g in (1.0, -3.0, 0.5)])
    expected = scalar_loop(2.0, [1.0, -3.0, 0.5], lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    assert weight.item() == pytest.approx(expected, rel=1e-14)


def test_all_at_once_and_one_by_one_agree_bit_for_bit():
    results = []
    for foreach in (False, True):
        params = [torch.nn.Parameter(draw(5, 3, seed=s, dtype=torch.float32)) for s in range(4)]
        optimizer = AdamATan2(params, lr=0.1, foreach=foreach)
        feed(
            optimizer,
            [tuple(draw(5, 3, seed=9 * t + s, dtype=torch.float32) for s in range(4)) for t in range(5)],
        )
        results.append(torch.stack([param.data for param in params]))
    assert torch.equal(*results)


@pytest.mark.parametrize("foreach", [False, True])
def test_a_parameter_without_gradient_is_left_alone_and_counts_its_own_steps(foreach):
    busy, idle = (torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64)) for _ in range(2))
    settings = {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 1.0}
    optimizer = AdamATan2([busy, idle], **settings, foreach=foreach)
    g = torch.tensor([0.3], dtype=torch.float64)
    feed(optimizer, [(g, None), (g, None)])
    assert idle.item() == 1.0
    assert idle not in optimizer.state
    feed(optimizer, [(g, g)])
    assert busy.item() == pytest.approx(scalar_loop(1.0, [0.3] * 3, **settings), rel=1e-14)
    assert idle.item() == pytest.approx(scalar_loop(1.0, [0.3], **settings), rel=1e-14)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9])
def test_first_step_does_not_depend_on_the_scale_of_the_gradient(scale):
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    feed(AdamATan2([weight], lr=1.0), [(torch.tensor([scale], dtype=torch.float64),)])
    assert weight.item() == pytest.approx(-10 * math.atan(0.1), rel=1e-12)


def test_zero_and_vanishing_gradients_stay_finite_in_float32():
    weight = torch.nn.Parameter(torch.ones(3))
    feed(AdamATan2([weight], lr=0.1, weight_decay=0.0), [(torch.tensor([0.0, 1e-38, -1e-38]),)] * 3)
    assert weight[0] == 1.0
    assert weight.isfinite().all()
    assert weight[1] < 1.0 < weight[2]


def test_resuming_from_a_saved_state_continues_bit_for_bit(tmp_path):
    def build():
        weight = torch.nn.Parameter(draw(7, seed=3, dtype=torch.float32))
        return weight, AdamATan2([weight], lr=0.1)

    grads = [(draw(7, seed=30 + t, dtype=torch.float32),) for t in range(6)]
    whole, optimizer = build()
    feed(optimizer, grads)
    half, optimizer = build()
    feed(optimizer, grads[:3])
    torch.save({"weight": half.data, "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    rest, optimizer = build()
    rest.data.copy_(saved["weight"])
    optimizer.load_state_dict(saved["optimizer"])
    feed(optimizer, grads[3:])
    assert torch.equal(rest, whole)


def test_states_have_the_dtype_of_their_parameter_even_in_a_mixed_group():
    params = [torch.nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in (torch.float32, torch.bfloat16)]
    optimizer = AdamATan2(params, lr=0.1, foreach=True)
    feed(optimizer, [tuple(torch.ones_like(param) for param in params)])
    for param in params:
        assert optimizer.state[param]["exp_avg"].dtype == param.dtype
        assert param[0].item() == pytest.approx(0.99 - math.atan(0.1), abs=5e-3)


def test_the_learning_rate_of_a_schedule_is_used():
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = AdamATan2([weight], lr=1.0, weight_decay=0.0)
    optimizer.param_groups[0]["lr"] = 0.25
    feed(optimizer, [(torch.ones(1, dtype=torch.float64),)])
    assert weight.item() == pytest.approx(-2.5 * math.atan(0.1), rel=1e-12)


def test_closure_runs_with_gradient_and_its_loss_is_returned():
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = AdamATan2([weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert weight.item() < 3.0


def test_it_solves_a_small_regression():
    features, target = draw(64, 3, seed=5), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = AdamATan2([weight], lr=0.02, weight_decay=0.0)
    for _ in range(400):
        optimizer.zero_grad()
        (features @ (weight - target)).square().mean().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.02


def test_sparse_gradients_are_refused_in_one_line():
    table = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = AdamATan2(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(IncompatibleComponents, match=r"^AdamATan2 cannot .*\(4, 2\).* sparse=False$"):
        optimizer.step()
    assert not optimizer.state


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"lr": -1.0}, "lr=-1.0"),
        ({"betas": (0.9, 1.0)}, r"betas=\(0.9, 1.0\)"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1"),
        ({"a": 0.0}, "a=0.0"),
        ({"b": -1.0}, "b=-1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(argument, message):
    with pytest.raises(IncompatibleComponents, match=message):
        AdamATan2([torch.nn.Parameter(torch.zeros(1))], **argument)


@pytest.mark.parametrize("foreach", [False, True])
def test_no_value_is_read_back_from_the_device(foreach):
    """Fake tensors have no values: reading one, as a synchronization would, raises."""
    with FakeTensorMode():
        params = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2, 2))]
        optimizer = AdamATan2(params, foreach=foreach)
        feed(optimizer, [tuple(torch.ones_like(param) for param in params)] * 2)
    assert optimizer.state[params[0]]["step"] == 2
