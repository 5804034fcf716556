"""Averaged weights are the same as torch's; that nothing is read back stands in tests/training."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn

from recurlight.optim.averaging import SteadyAverage

KINDS = {
    "exponential": {"avg_fn": get_ema_avg_fn(0.9)},
    "with buffers": {"avg_fn": get_ema_avg_fn(0.9), "use_buffers": True},
    "at once": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
    "equal weights": {},
    "by count": {"avg_fn": lambda ours, theirs, count: ours + (theirs - ours) / (count + 1)},
}


def model(value: float) -> torch.nn.Module:
    made = torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(made.weight, value)
    made.running_mean.fill_(value)
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [0, 2])
def test_it_is_what_torch_averages_from_any_point_on(kind, before):
    """Fails if it began anew after a resume, or lost the kind of average."""
    theirs = AveragedModel(model(0.0), **KINDS[kind])
    for value in range(before):
        theirs.update_parameters(model(value + 1.0))
    ours = copy.deepcopy(SteadyAverage(theirs, torch.device("cpu")))
    for value in (5.0, 2.0, 9.0):
        ours.update_parameters(model(value))
        theirs.update_parameters(model(value))
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, expected in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], expected, rtol=0, atol=0, msg=name)
