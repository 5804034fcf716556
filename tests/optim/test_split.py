"""One optimizer for the matrices of the cells and another for the rest, seen from outside as one."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
from helpers import SIZES, attention, convolution, trm
from resuming import Everywhere, Fitted, deviations, disturb, model
from torch import nn
from torch.optim import Muon

from recurlight import (
    AdamATan2,
    CorrectnessHalting,
    LastCycles,
    LinearWarmup,
    SplitOptimizer,
    TwoLevelRefiner,
)
from recurlight.errors import IncompatibleComponents
from recurlight.optim import Parameters, make_schedule
from recurlight.recursion.driver import Recursion

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SPLIT = partial(SplitOptimizer, matrices=partial(Muon, lr=0.02), rest=partial(AdamATan2, lr=0.01))


def names(recursion):
    """Names of the parameters that count as matrices of cells."""
    matrices = set(Parameters(recursion).matrices)
    return {name for name, weight in recursion.named_parameters() if weight in matrices}


def backward(recursion, seed):
    for number, weight in enumerate(recursion.parameters()):
        generator = torch.Generator().manual_seed(100 * seed + number)
        weight.grad = torch.randn(weight.shape, generator=generator)


def trained(recursion, optimizers, steps=range(3)):
    for step in steps:
        backward(recursion, step)
        for optimizer in optimizers:
            optimizer.step()
    return {name: value.clone() for name, value in recursion.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_matrices_are_the_linear_layers_of_the_cells():
    """Breaks when an embedding, a read-out, a head or a kernel counts as a matrix of a cell."""
    refiner = TwoLevelRefiner(attention(), convolution(), latent_steps=1)
    recursion = Recursion(SIZES, refiner, LastCycles(1), CorrectnessHalting())
    expected = {
        name
        for name, _ in recursion.named_parameters()
        if name.startswith(("refiner.latent.", "refiner.answer.")) and name.endswith(".weight")
    }
    assert names(recursion) == expected
    rest = set(dict(recursion.named_parameters())) - expected
    assert {"encoder.token", "decoder.head.weight", "halting.head.weight"} <= rest
    assert any("kernel" in name for name in rest)


def test_a_cell_that_two_levels_share_is_taken_once():
    assert len(Parameters(trm()).matrices) == len({*Parameters(trm()).matrices}) == len(names(trm()))


def test_each_part_is_trained_as_by_its_optimizer_alone():
    """Breaks when a rate, a decay or a parameter reaches the other optimizer."""
    recursion, twin = trm(), trm()
    others = Parameters(twin)
    first = set(others.matrices)
    two = [
        Muon(others.matrices, lr=0.02),
        AdamATan2([weight for weight in others if weight not in first], lr=0.01),
    ]
    whole = trained(recursion, [SPLIT(Parameters(recursion))])
    assert same(whole, trained(twin, two))
    assert all(not torch.equal(whole[name], value) for name, value in trm().named_parameters())


def test_a_saved_state_goes_on_bit_for_bit(tmp_path):
    whole = trm()
    expected = trained(whole, [SPLIT(Parameters(whole))], range(5))
    half = trm()
    optimizer = SPLIT(Parameters(half))
    trained(half, [optimizer], range(2))
    torch.save({"model": half.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "half.pt")
    saved = torch.load(tmp_path / "half.pt", weights_only=True)
    rest = trm()
    rest.load_state_dict(saved["model"])
    optimizer = SPLIT(Parameters(rest))
    optimizer.load_state_dict(saved["optimizer"])
    assert same(trained(rest, [optimizer], range(2, 5)), expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_goes_on_bit_for_bit(copied):
    recursion = trm()
    optimizer = SPLIT(Parameters(recursion))
    trained(recursion, [optimizer], range(2))
    other, twin = copied((recursion, optimizer))
    assert same(trained(recursion, [optimizer], [2]), trained(other, [twin], [2]))


def test_a_schedule_scales_both_rates():
    optimizer = SPLIT(Parameters(trm()))
    schedule = make_schedule(partial(LinearWarmup, warmup=4), optimizer, nn.Module())
    rates = []
    for _ in range(4):
        rates.append([part.param_groups[0]["lr"] for part in optimizer.parts])
        optimizer.step()
        schedule.step()
    assert rates == [pytest.approx([0.02 * share, 0.01 * share]) for share in (0.25, 0.5, 0.75, 1.0)]


def test_a_schedule_that_sets_one_rate_for_both_is_refused():
    once = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=9, cycle_momentum=False)
    with pytest.raises(IncompatibleComponents, match=r"OneCycleLR gives the same .* own, 0.02, 0.01: use"):
        make_schedule(once, SPLIT(Parameters(trm())), nn.Module())


def test_the_closure_runs_once_with_gradient():
    recursion, seen = trm(), []

    def closure():
        seen.append(torch.is_grad_enabled())
        return 3.0

    assert SPLIT(Parameters(recursion)).step(closure) == 3.0
    assert seen == [True]


def test_what_it_cannot_split_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"give it recurlight\.optim\.Parameters\(model\)"):
        SplitOptimizer(trm().parameters())
    with pytest.raises(IncompatibleComponents, match=r"no torch\.nn\.Linear in the cells"):
        SplitOptimizer(Parameters(nn.Linear(2, 2)))
    optimizer = SPLIT(Parameters(trm()))
    optimizer.add_param_group({"params": [], "lr": 0.1})
    with pytest.raises(IncompatibleComponents, match="takes no more parameters"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})


def test_a_run_resumes_exactly_with_averages_and_schedule(tmp_path):
    """Breaks when a resumed run trains a part of the model with a state of its own."""
    whole = Fitted(Everywhere(tmp_path), made=model(optimizer=SPLIT), max_steps=5)
    disturb()
    again = Fitted(made=model(optimizer=SPLIT), resume=tmp_path / "03-batch.ckpt", max_steps=5)
    assert deviations(whole, again) == []
