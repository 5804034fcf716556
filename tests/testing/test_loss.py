"""The checks of losses: our own pass, and each broken one fails the check that is named after its fault."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.nn import functional

from recurlight import losses
from recurlight.losses import MeanSquaredError, SequenceLoss, SoftmaxCrossEntropy, StablemaxCrossEntropy
from recurlight.testing import check_loss

OURS = [getattr(losses, name) for name in losses.__all__]
OURS = [
    kind
    for kind in OURS
    if isinstance(kind, type) and issubclass(kind, SequenceLoss) and not inspect.isabstract(kind)
]


@pytest.mark.parametrize("kind", OURS)
def test_our_losses_pass(kind):
    """Fails if a check is stricter than the contract."""
    assert set(check_loss(kind).values()) == {None}


class Low(SoftmaxCrossEntropy):
    def forward(self, logits, labels):
        return super().forward(logits, labels).float()


class Relative(SoftmaxCrossEntropy):
    def forward(self, logits, labels):
        found = super().forward(logits, labels)
        return found / found.detach().mean()


class Naive(SequenceLoss):
    def token_loss(self, logits, labels):
        return (
            -(logits.exp() / logits.exp().sum(-1, keepdim=True)).gather(-1, labels[..., None])[..., 0].log()
        )


class Rounded(StablemaxCrossEntropy):
    def token_loss(self, logits, labels):
        return super().token_loss(logits + 0.5 * (logits - logits.detach()), labels)


class Backwards(SequenceLoss):
    def token_loss(self, logits, labels):
        return functional.log_softmax(logits, -1).gather(-1, labels[..., None])[..., 0]


class Counting(SoftmaxCrossEntropy):
    calls = 0

    def token_loss(self, logits, labels):
        self.calls += 1
        return super().token_loss(logits, labels) * self.calls


class Noisy(SoftmaxCrossEntropy):
    """Draws by the rule: right."""

    def token_loss(self, logits, labels):
        return super().token_loss(logits + 0.01 * torch.randn_like(logits), labels)


class Ignorant(SequenceLoss):
    def token_loss(self, logits, labels):
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).expand(labels.shape)


class Nearest(MeanSquaredError):
    """Forgets that a number may have no label."""

    def forward(self, logits, labels):
        return self.token_loss(logits, labels.nan_to_num()).mean((1, 2))


class Away(MeanSquaredError):
    """Costs less the further the output is."""

    def token_loss(self, logits, labels):
        return 1 / (1 + super().token_loss(logits, labels))


class Whole(MeanSquaredError):
    """Divides by the largest error of the batch."""

    def token_loss(self, logits, labels):
        found = super().token_loss(logits, labels)
        return found / found.detach().amax()


@pytest.mark.parametrize(("kind", "name"), [(Nearest, "composes"), (Away, "order"), (Whole, "rows")])
def test_a_broken_loss_of_numbers_is_found(kind, name):
    """Fails if losses of numbers are tried on tokens, or not at all."""
    found = check_loss(kind, raises=False)[name]
    assert found
    assert "tokens and" not in found


BROKEN = {
    "composes": Ignorant,
    "precision": Low,
    "rows": Relative,
    "finite": Naive,
    "gradient": Rounded,
    "order": Backwards,
    "randomness": Counting,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_loss_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_loss(BROKEN[name], raises=False)[name]
    assert found
    assert "\n" not in found


def test_a_loss_may_draw():
    """Fails if a loss with noise by the rule cannot pass."""
    assert set(check_loss(Noisy).values()) == {None}
