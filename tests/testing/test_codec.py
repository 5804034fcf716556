"""The checks of encoders and decoders: our own pass, and each broken one fails the check named after it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recurlight.codec import ContinuousDecoder, ContinuousEncoder, SparseTable
from recurlight.codec.tokens import TokenDecoder, TokenEncoder
from recurlight.testing import check_decoder, check_encoder
from recurlight.types import Sizes

ENCODERS = {
    "as published": TokenEncoder,
    "learned positions": lambda: TokenEncoder(learned_positions=True),
    "task table": lambda: TokenEncoder(task_table=SparseTable()),
    "numbers": ContinuousEncoder,
    "numbers, learned positions": lambda: ContinuousEncoder(learned_positions=True),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_our_encoders_pass(name):
    """Fails if a check is stricter than the contract."""
    assert set(check_encoder(ENCODERS[name]).values()) == {None}


@pytest.mark.parametrize("prefix", [0, 2])
def test_our_decoder_passes(prefix):
    """Fails if a check is stricter than the contract."""
    sizes = Sizes(vocab=6, tokens=9, width=32, prefix=prefix)
    assert set(check_decoder(TokenDecoder, sizes=sizes).values()) == {None}


@pytest.mark.parametrize("features", [0, 3])
def test_our_decoder_of_numbers_passes(features):
    """Fails if the checks ask for tokens where the sizes say numbers."""
    sizes = Sizes(vocab=6, tokens=9, width=32, prefix=2, features=features, targets=2)
    assert set(check_decoder(ContinuousDecoder, sizes=sizes).values()) == {None}


class Blind(TokenEncoder):
    def forward(self, tokens, task):
        return super().forward(torch.cat([tokens[:, :-1], tokens[:, :1]], dim=1), task)


class Deaf(ContinuousEncoder):
    """Leaves the last position out."""

    def embed(self, question):
        return super().embed(torch.cat([question[:, :-1], question[:, :1]], dim=1))


def test_a_position_whose_numbers_are_not_heard_is_found():
    assert "token number 11" in check_encoder(Deaf, raises=False)["question"]


class Centred(TokenEncoder):
    def forward(self, tokens, task):
        injection = super().forward(tokens, task)
        return injection - injection.mean(0)


class Unseeded(TokenEncoder):
    def build(self, sizes, generator):
        super().build(sizes, generator)
        self.token = nn.Parameter(torch.randn_like(self.token))


class Hidden(TokenEncoder):
    def build(self, sizes, generator):
        super().build(sizes, generator)
        self.shift = torch.randn(sizes.width, generator=generator)

    def forward(self, tokens, task):
        return super().forward(tokens, task) + self.shift


class Squeezed(TokenEncoder):
    def forward(self, tokens, task):
        return super().forward(tokens, task)[:, :-1]


BROKEN_ENCODERS = {
    "composes": Squeezed,
    "question": Blind,
    "rows": Centred,
    "weights": Unseeded,
    "checkpoint": Hidden,
}


@pytest.mark.parametrize("name", BROKEN_ENCODERS)
def test_a_broken_encoder_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_encoder(BROKEN_ENCODERS[name], raises=False)[name]
    assert found
    assert "\n" not in found


class Low(TokenDecoder):
    def forward(self, answer):
        return super().forward(answer).to(answer.dtype)


class Late(TokenDecoder):
    """Drops the last positions in place of the prefix."""

    def forward(self, answer):
        return super().forward(answer.roll(self.prefix, dims=1))


class Mean(TokenDecoder):
    def forward(self, answer):
        return super().forward(answer) - super().forward(answer).mean(0)


class Unused(TokenDecoder):
    def build(self, sizes, generator):
        super().build(sizes, generator)
        self.bias = nn.Parameter(torch.zeros(sizes.vocab))


BROKEN_DECODERS = {"precision": Low, "answer": Late, "rows": Mean, "gradients": Unused}


@pytest.mark.parametrize("name", BROKEN_DECODERS)
def test_a_broken_decoder_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_decoder(BROKEN_DECODERS[name], raises=False)[name]
    assert found
    assert "\n" not in found
