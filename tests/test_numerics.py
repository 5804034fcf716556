"""Weights as published: truncated normal of exact spread, drawn from one generator."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import seeded

from recurlight.numerics import linear, truncated_normal


@pytest.mark.parametrize("std", [0.02, 1.0, 3.0])
def test_the_spread_after_the_cut_is_exact(std):
    values = truncated_normal(400, 500, std=std, generator=seeded())
    assert values.std().item() == pytest.approx(std, rel=5e-3)
    assert values.mean().item() == pytest.approx(0, abs=0.01 * std)


def test_values_are_cut_at_two_sigma_of_the_uncut_normal():
    """The variance of a normal cut at two sigma, integrated numerically, tells where the corrected cut is."""
    grid = torch.linspace(-2, 2, 20_001, dtype=torch.float64)
    density = (-(grid**2) / 2).exp()
    spread = math.sqrt((torch.trapezoid(grid**2 * density) / torch.trapezoid(density)).item())
    values = truncated_normal(500, 500, std=0.5, generator=seeded())
    assert values.abs().max().item() == pytest.approx(2 * 0.5 / spread, rel=1e-3)
    assert values.abs().max().item() <= 2 * 0.5 / spread + 1e-6


def test_the_shape_between_the_cuts_is_normal():
    values = truncated_normal(500, 500, std=1.0, generator=seeded()) * 0.87962566
    within = math.erf(1 / math.sqrt(2)) / math.erf(2 / math.sqrt(2))
    assert (values.abs() < 1).float().mean().item() == pytest.approx(within, abs=5e-3)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(16, 4096), (400, 300)])
def test_linear_weights_are_scaled_by_the_inputs_not_the_outputs(fan_in, fan_out):
    layer = linear(fan_in, fan_out, seeded())
    assert layer.weight.shape == (fan_out, fan_in)
    assert layer.weight.std().item() == pytest.approx(fan_in**-0.5, rel=1e-2)
    assert layer.bias is None
    assert layer.weight.requires_grad
    assert layer.weight.device.type == "cpu"


def test_linear_keeps_the_variance_of_its_input():
    x = torch.randn(64, 400, generator=seeded(1))
    assert linear(400, 500, seeded())(x).std().item() == pytest.approx(1, abs=0.02)


def test_one_generator_gives_one_sequence_and_global_state_is_left_alone():
    before = torch.get_rng_state()
    generator = seeded()
    first, second = (truncated_normal(3, 4, std=1.0, generator=generator) for _ in range(2))
    assert torch.equal(linear(4, 3, seeded()).weight * 2, first)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
