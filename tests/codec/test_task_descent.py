"""Sign descent on rows, against the formula row by row."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from recurlight.codec import add_tables, forget_gradients, sparse_sign_sgd_
from recurlight.codec.task_table import SparseTable
from recurlight.errors import IncompatibleComponents
from recurlight.optim import AdamATan2, LinearWarmup


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def expected(table, index, grads, lr, weight_decay):
    """One row after the other."""
    after = table.clone()
    for row in set(index.tolist()):
        total = sum(grad for place, grad in zip(index.tolist(), grads, strict=True) if place == row)
        after[row] = (1 - lr * weight_decay) * table[row] - lr * total.sign()
    return after


@pytest.mark.parametrize("rows", [3, 40, 1000])
def test_one_update_of_the_rows_in_use(rows):
    """Fails if rows that repeat move once for each gradient, decay twice, or other rows decay at all."""
    table = torch.randn(rows, 5, generator=seeded(), dtype=torch.float64)
    index = torch.randint(0, rows, (60,), generator=seeded(1))
    grads = torch.randn(60, 5, generator=seeded(2), dtype=torch.float64)
    want = expected(table, index, grads, 0.1, 0.3)
    sparse_sign_sgd_(table, index, grads, lr=0.1, weight_decay=0.3)
    torch.testing.assert_close(table, want, rtol=0, atol=1e-12)


def test_opposite_gradients_of_a_row_cancel():
    """Fails if signs are summed in place of the sign of the sum."""
    table = torch.zeros(2, 2)
    sparse_sign_sgd_(
        table, torch.tensor([1, 1, 1]), torch.tensor([[3.0, 1], [-1, -1], [-1, 0]]), lr=1.0, weight_decay=0
    )
    assert table.tolist() == [[0, 0], [-1, 0]]


class Model(nn.Module):
    """A weight beside two tables."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.few, self.many = SparseTable(lr=0.1, weight_decay=0.0), SparseTable(lr=0.01, weight_decay=0.5)
        self.few.allocate(4, 3)
        self.many.allocate(100, 3)

    def forward(self, index):
        return ((self.few(index) + self.many(index * 20)) * self.weight).sum()


@pytest.mark.parametrize("kind", [AdamATan2, torch.optim.AdamW, partial(torch.optim.SGD, momentum=0.9)])
def test_every_optimizer_trains_tables_with_their_own_rates(kind):
    """Fails if tables share a learning rate, or the optimizer's own step is changed."""
    model, alone = Model(), nn.Parameter(torch.ones(3))
    optimizer = add_tables(kind(model.parameters(), lr=1e-3), model)
    plain = kind([alone], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.tensor([1, 3])).backward()
        alone.grad = model.weight.grad.clone()
        optimizer.step()
        plain.step()
    assert torch.equal(model.weight, alone)
    torch.testing.assert_close(model.few.rows[:, 0], torch.tensor([0, -0.3, 0, -0.3]))
    decayed = -0.01 * sum((1 - 0.01 * 0.5) ** step for step in range(3))
    assert model.many.rows[20, 0].item() == pytest.approx(decayed, rel=1e-5)
    assert model.many.rows.abs().sum(1).nonzero().flatten().tolist() == [20, 60]


def test_a_schedule_scales_the_tables_too():
    """Fails if the group of a table is not the optimizer's."""
    model = Model()
    optimizer = add_tables(AdamATan2(model.parameters(), lr=1e-3), model)
    schedule = LinearWarmup(optimizer, warmup=4)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.tensor([2])).backward()
        optimizer.step()
        schedule.step()
    assert model.few.rows[2, 0].item() == pytest.approx(-0.1 * (1 + 2) / 4)


def test_the_optimizer_resumes_with_its_groups():
    """Fails if a loaded group is no longer known to be the table's."""
    model = Model()
    optimizer = add_tables(AdamATan2(model.parameters(), lr=1e-3), model)
    state = optimizer.state_dict()
    state["param_groups"][1]["lr"] = 0.2
    optimizer.load_state_dict(state)
    model(torch.tensor([0])).backward()
    optimizer.step()
    assert model.few.rows[0, 0].item() == pytest.approx(-0.2)


def test_gradients_of_several_backward_passes_add_up():
    """Fails if each pass is a step of its own, or only the last counts."""
    model = Model()
    optimizer = add_tables(torch.optim.SGD(model.parameters(), lr=0.0), model)
    for weight in (2.0, -1.0, -0.5):
        (weight * model(torch.tensor([1]))).backward()
    optimizer.step()
    assert model.few.rows[1].tolist() == pytest.approx([-0.1] * 3)
    optimizer.step()
    assert model.few.rows[1].tolist() == pytest.approx([-0.1] * 3)  # nothing new


def test_gradients_of_a_step_that_was_skipped_are_dropped():
    model = Model()
    optimizer = add_tables(torch.optim.SGD(model.parameters(), lr=0.0), model)
    model(torch.tensor([1])).backward()
    forget_gradients(model)
    optimizer.step()
    assert not model.few.rows.any()


def test_nothing_is_kept_without_gradient():
    """Fails if evaluation fills the table's memory, or its rows are trained by it."""
    model = Model()
    with torch.no_grad():
        assert not model.few(torch.tensor([1])).requires_grad
    model.few(torch.tensor([1]))  # a graph that is thrown away
    assert model.few.take() is None


def test_negative_rates_are_refused():
    with pytest.raises(
        IncompatibleComponents, match=r"SparseTable got lr=-1, weight_decay=0.1: give 0 or more"
    ):
        SparseTable(lr=-1)
