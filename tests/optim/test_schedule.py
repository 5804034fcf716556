"""Schedules as the optimizer sees them, update by update."""

import math

import pytest
import torch

from recurlight.errors import IncompatibleComponents
from recurlight.optim import LinearWarmup, LinearWarmupCosine


def sgd(*rates):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in rates])


def used_rates(optimizer, schedule, updates):
    """Learning rates of the first group at each update."""
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_warmup_rises_from_its_first_share_and_stays():
    optimizer = sgd(0.4)
    assert used_rates(optimizer, LinearWarmup(optimizer, warmup=4), 6) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    )


def test_warmup_takes_2000_updates_unless_told():
    optimizer = sgd(1.0)
    rates = used_rates(optimizer, LinearWarmup(optimizer), 2001)
    assert (rates[0], rates[1998] < 1.0, rates[1999:]) == (1 / 2000, True, [1.0, 1.0])


@pytest.mark.parametrize("warmup", [0, 1])
def test_a_warmup_of_nothing_starts_with_the_full_rate(warmup):
    optimizer = sgd(0.4)
    assert used_rates(optimizer, LinearWarmup(optimizer, warmup=warmup), 3) == [0.4] * 3


def test_every_group_keeps_its_own_rate():
    optimizer = sgd(1.0, 0.01)
    LinearWarmup(optimizer, warmup=2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.005]


@pytest.mark.parametrize("warmup", [0, 3])
def test_cosine_falls_from_the_full_rate_to_the_floor_and_stays(warmup):
    optimizer = sgd(2.0)
    rates = used_rates(optimizer, LinearWarmupCosine(optimizer, warmup=warmup, total=9, floor=0.1), 12)
    for t, rate in enumerate(rates, start=1):
        if t < warmup:
            expected = t / warmup
        else:
            angle = math.pi * (min(t, 9) - warmup) / (9 - warmup)
            expected = 0.1 + 0.9 * (1 + math.cos(angle)) / 2
        assert rate == pytest.approx(2.0 * expected)
    assert rates[8:] == pytest.approx([0.2] * 4)


def test_cosine_ends_at_zero_unless_told():
    optimizer = sgd(1.0)
    assert used_rates(optimizer, LinearWarmupCosine(optimizer, 1, 5), 5)[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    "build",
    [lambda o: LinearWarmup(o, warmup=5), lambda o: LinearWarmupCosine(o, warmup=3, total=8, floor=0.2)],
)
def test_resuming_continues_the_same_rates(build):
    optimizer = sgd(1.0)
    whole = used_rates(optimizer, build(optimizer), 9)
    optimizer = sgd(1.0)
    schedule = build(optimizer)
    used_rates(optimizer, schedule, 4)
    resumed = sgd(1.0)
    again = build(resumed)
    again.load_state_dict(schedule.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    assert used_rates(resumed, again, 5) == whole[4:]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda o: LinearWarmup(o, warmup=-1), "warmup=-1"),
        (lambda o: LinearWarmupCosine(o, warmup=-1, total=5), "warmup=-1, total=5"),
        (lambda o: LinearWarmupCosine(o, warmup=5, total=5), "warmup=5, total=5"),
        (lambda o: LinearWarmupCosine(o, warmup=1, total=5, floor=1.5), "floor=1.5"),
    ],
)
def test_impossible_arguments_are_refused(build, message):
    with pytest.raises(IncompatibleComponents, match=message):
        build(sgd(1.0))
