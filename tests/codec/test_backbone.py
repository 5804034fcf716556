"""Frozen models: their contract, and what a composition does with one."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from frozen import Tied
from helpers import SIZES, causal, mixer

from recurlight import (
    EveryUpdate,
    FixedHalting,
    HeadDecoder,
    HiddenEncoder,
    IncompatibleComponents,
    Recursion,
    SingleRefiner,
    TokenDecoder,
    TokenEncoder,
)


def on(backbone, sizes=SIZES, **parts):
    settings = {"encoder": HiddenEncoder(), "decoder": HeadDecoder()} | parts
    return Recursion(
        sizes, SingleRefiner(causal()), EveryUpdate(), FixedHalting(), backbone=backbone, **settings
    )


def test_one_object_serves_every_part_and_is_no_part_of_the_state():
    backbone = Tied()
    model = on(backbone)
    assert model.encoder.backbone is model.decoder.backbone is model.backbone is backbone
    frozen = {id(weight) for weight in backbone.network.parameters()}
    assert not frozen & {id(weight) for weight in model.parameters()}
    assert all(name.startswith("refiner.") for name in model.state_dict())


def test_training_mode_and_gradient_do_not_reach_the_network():
    model = on(Tied()).train()
    assert not model.backbone.network.training
    assert not any(weight.requires_grad for weight in model.backbone.network.parameters())


def test_gradient_flows_through_to_the_vectors():
    backbone = Tied()
    vectors = backbone.embed(torch.ones(1, 3, dtype=torch.int64)).requires_grad_()
    backbone.hidden(vectors)[0, 2].sum().backward()
    assert (vectors.grad == 1).all()


def test_it_moves_with_the_model_and_stays_tied():
    model = on(Tied())
    for dtype in (torch.float64, torch.float32):
        network = model.to(dtype).backbone.network
        assert network["head"].weight.dtype == dtype
        assert network["embedding"].weight is network["head"].weight


def test_a_copy_shares_the_weights_until_one_of_the_two_is_moved():
    model = on(Tied())
    twin = copy.deepcopy(model)
    assert twin.encoder.backbone is twin.backbone is not model.backbone
    assert twin.backbone.head().data_ptr() == model.backbone.head().data_ptr()
    twin.double()
    assert (model.backbone.head().dtype, twin.backbone.head().dtype) == (torch.float32, torch.float64)
    assert torch.equal(model.backbone.head().double(), twin.backbone.head())


def test_it_is_pickled_with_the_model():
    model = on(Tied(symbols=[1, 2, 3, 4, 5, 0]))
    twin = pickle.loads(pickle.dumps(model))
    assert twin.encoder.backbone is twin.backbone
    assert torch.equal(twin.backbone.readout(), model.backbone.readout())


def test_symbols_choose_the_rows_that_are_embedded_and_read_out():
    symbols = [9, 3, 5, 0, 1, 99]
    backbone = Tied(rows=100, symbols=symbols)
    tokens = torch.arange(6)[None]
    assert torch.equal(backbone.embed(tokens)[0], backbone.head()[symbols])
    assert torch.equal(backbone.readout(), backbone.head()[symbols])
    answer = torch.randn(2, 16, SIZES.width, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(on(backbone).decoder(answer), answer @ backbone.head()[symbols].T)


def test_another_width_is_projected():
    model = on(Tied(width=10))
    assert model.encoder.projection.weight.shape == (SIZES.width, 10)
    assert model.decoder.projection.weight.shape == (10, SIZES.width)


PLAIN = {"encoder": TokenEncoder(), "decoder": TokenDecoder()}
REFUSED = {
    "none given": (lambda: on(None), "HiddenEncoder reads a frozen model and there is none: set model.back"),
    "the head alone": (
        lambda: on(None, encoder=TokenEncoder()),
        "HeadDecoder reads a frozen model and there",
    ),
    "nobody reads it": (
        lambda: on(Tied(), **PLAIN),
        "model.backbone is a Tied that no part reads: set model",
    ),
    "vocabulary": (
        lambda: on(Tied(rows=7)),
        "Tied reads out 7 tokens and the data have 6: set model.backbone.",
    ),
    "symbols": (
        lambda: on(Tied(symbols=[0, 1, 2, 3, 4, 6])),
        "Tied knows 6 tokens: give symbols from 0 to 5",
    ),
    "sees what comes": (
        lambda: on(Tied(later=True)),
        "Tied is no causal model: a hidden state depends on what",
    ),
    "drawn anew": (lambda: on(Tied(noise=1.0)), "Tied is no causal model: .* or is drawn anew; give one of"),
    "shape": (
        lambda: on(Tied(short=1)),
        r"Tied of width 16 makes hidden states \(2, 3, 15\) of tokens \(2, 3\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    make, message = REFUSED[name]
    with pytest.raises(IncompatibleComponents, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_longer_data_than_it_reads_are_refused():
    backbone = Tied()
    backbone.positions = 15
    with pytest.raises(IncompatibleComponents, match="Tied reads 15 tokens at most and the data have 16"):
        on(backbone)


def test_making_the_composition_draws_nothing():
    before = torch.get_rng_state()
    with pytest.raises(IncompatibleComponents):
        on(Tied(noise=1.0))
    made = torch.get_rng_state()  # of the network itself, which torch draws
    torch.set_rng_state(before)
    Tied()
    assert torch.equal(torch.get_rng_state(), made)


def test_a_model_without_a_backbone_has_none():
    model = Recursion(SIZES, SingleRefiner(mixer()), EveryUpdate(), FixedHalting())
    assert model.backbone is None
