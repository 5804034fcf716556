"""A part that returns something else than its contract says is refused when the model is made."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from helpers import NUMBERS, SIZES, batch, mixer, module, numbers
from odd_refiners import compose
from torch import Tensor, nn

from recurlight.codec import ContinuousDecoder, ContinuousEncoder, TokenDecoder, TokenEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.losses import MeanSquaredError, SequenceLoss, SoftmaxCrossEntropy
from recurlight.refiners import SingleRefiner, SingleState


def encoder(change):
    class Odd(TokenEncoder):
        def forward(self, tokens, task):
            return change(super().forward(tokens, task))

    return Odd()


def decoder(change):
    class Odd(TokenDecoder):
        def forward(self, answer):
            return change(super().forward(answer))

    return Odd()


def halting(kind=CorrectnessHalting, **methods):
    def changed(name, change):
        return lambda self, *given: change(getattr(kind, name)(self, *given))

    return type("Odd", (kind,), {name: changed(name, change) for name, change in methods.items()})()


def refiner(start=lambda x: x, update=lambda x: x):
    class Odd(SingleRefiner):
        def initial_state(self, injection):
            return SingleState(start(super().initial_state(injection).answer))

        def update(self, state, injection, level):
            return SingleState(update(super().update(state, injection, level).answer))

    return Odd(mixer())


class Counted(NamedTuple):
    answer: Tensor
    steps: object


class Counting(SingleRefiner):
    def initial_state(self, injection):
        return Counted(super().initial_state(injection).answer, 0)


class Loss(SequenceLoss):
    """The cross-entropy of torch, changed."""

    def __init__(self, change=lambda x: x, reduction: str = "none") -> None:
        super().__init__()
        self.change, self.reduction = change, reduction

    def token_loss(self, logits, labels):
        return self.change(nn.functional.cross_entropy(logits.mT, labels, reduction=self.reduction))


class Whole(SoftmaxCrossEntropy):
    """Forgets `IGNORE`."""

    def forward(self, logits, labels):
        return self.token_loss(logits, labels.clamp(min=0)).mean(1)


class Averaged(SoftmaxCrossEntropy):
    def forward(self, logits, labels):
        return super().forward(logits, labels).mean()


class Unmasked(MeanSquaredError):
    """Forgets that NaN is no label."""

    def forward(self, logits, labels):
        return self.token_loss(logits, labels.nan_to_num()).mean((1, 2))


class Judged(SoftmaxCrossEntropy):
    """Says how right an answer is."""

    def right(self, logits, labels):
        return super().right(logits, labels).float()


def continuous(**settings):
    """A model of fields."""
    sizes = {"vocab_size": 0, "features": NUMBERS.features, "targets": NUMBERS.targets}
    return module(**(sizes | settings))


class Pair(ContinuousDecoder):
    """Reads out a mean and a spread, and does not say so."""

    def forward(self, answer):
        return super().forward(answer).repeat(1, 1, 2)


KIND = "set model.{} to null or to another {}, whose `numbers` is {}"


class Padded(TokenEncoder):
    """Returns the tokens themselves."""

    def filled_positions(self, inputs):
        return inputs


REFUSED = {
    "tokens for fields": (
        lambda: continuous(encoder=TokenEncoder()),
        "TokenEncoder is for tokens and the questions of the data are numbers: "
        + KIND.format("encoder", "Encoder", True),
    ),
    "fields for tokens": (
        lambda: module(encoder=ContinuousEncoder()),
        "ContinuousEncoder is for numbers and the questions of the data are tokens: "
        + KIND.format("encoder", "Encoder", False),
    ),
    "cross-entropy of fields": (
        lambda: continuous(loss=SoftmaxCrossEntropy()),
        "SoftmaxCrossEntropy is for tokens and the answers of the data are numbers: "
        + KIND.format("loss", "SequenceLoss", True),
    ),
    "squared error of tokens": (
        lambda: module(loss=MeanSquaredError()),
        "MeanSquaredError is for numbers and the answers of the data are tokens: "
        + KIND.format("loss", "SequenceLoss", False),
    ),
    "logits for fields": (lambda: continuous(decoder=TokenDecoder()), "TokenDecoder reads tokens out"),
    "fields for logits": (lambda: module(decoder=ContinuousDecoder()), "ContinuousDecoder reads numbers out"),
    "more numbers than said": (lambda: continuous(decoder=Pair()), "where (B, L, G) is (2, 16, 1)"),
    "loss with NaN": (lambda: continuous(loss=Unmasked()), "Unmasked counts tokens whose label is NaN"),
    "a share of right": (lambda: module(loss=Judged()), "Judged.right returns (3,) torch.float32"),
    "no vocabulary": (lambda: module(vocab_size=0), "vocab_size is 0: set model.vocab_size to 1 or more"),
    "no vocabulary for answers": (
        lambda: module(vocab_size=0, features=2),
        "vocab_size is 0: set model.vocab_size to 1 or more",
    ),
    "features": (lambda: continuous(features=-1), "features is -1: set model.features to 0 or more"),
    "encoder filled": (
        lambda: compose(encoder=Padded()),
        "filled_positions returns (2, 16) torch.int64 where (B, N) is (2, 16): return (B, N) torch.bool",
    ),
    "encoder shape": (
        lambda: compose(encoder=encoder(lambda x: x[:, 1:])),
        "Odd.forward returns (2, 15, 16)",
    ),
    "encoder dtype": (lambda: compose(encoder=encoder(Tensor.double)), "return (B, N, D) torch.float32"),
    "encoder nan": (lambda: compose(encoder=encoder(lambda x: x / 0)), "returns NaN or infinity"),
    "encoder None": (lambda: compose(encoder=encoder(lambda x: None)), "returns a NoneType"),
    "encoder fails": (
        lambda: compose(encoder=encoder(lambda x: x @ x[:, 1:])),
        "Odd.forward fails on (2, 16) torch.int64",
    ),
    "decoder shape": (lambda: compose(decoder=decoder(lambda x: x.mT)), "where (B, L, V) is (2, 16, 6)"),
    "decoder dtype": (lambda: compose(decoder=decoder(Tensor.bfloat16)), "torch.bfloat16"),
    "decoder nan": (lambda: compose(decoder=decoder(Tensor.log)), "returns NaN or infinity"),
    "score shape": (lambda: compose(halting=halting(score=lambda x: x[:, 0])), "where (B, K) is (2, 1)"),
    "score dtype": (lambda: compose(halting=halting(score=Tensor.half)), "Odd.score returns (2, 1)"),
    "score nan": (lambda: compose(halting=halting(score=Tensor.log)), "Odd.score returns NaN"),
    "decision dtype": (lambda: compose(halting=halting(should_halt=Tensor.float)), "return (B,) torch.bool"),
    "decision shape": (
        lambda: compose(halting=halting(should_halt=Tensor.any)),
        "Odd.should_halt returns ()",
    ),
    "confidence shape": (
        lambda: compose(halting=halting(confidence=lambda x: x[:, None])),
        "Odd.confidence returns (2, 1)",
    ),
    "halting loss shape": (lambda: compose(halting=halting(loss=Tensor.mean)), "Odd.loss returns ()"),
    "halting loss shape, looking ahead": (
        lambda: compose(halting=halting(QLearningHalting, loss=Tensor.mean)),
        "Odd.loss returns ()",
    ),
    "halting loss nan": (lambda: compose(halting=halting(loss=lambda x: x / 0)), "Odd.loss returns NaN"),
    "answer shape": (lambda: compose(refiner(start=lambda x: x[:, 1:])), "start it like the injection"),
    "answer dtype": (lambda: compose(refiner(start=Tensor.double)), "start it like the injection"),
    "state field": (lambda: compose(Counting(mixer())), "the field 'steps' of the state of Counting is int"),
    "update nan": (lambda: compose(refiner(update=lambda x: x / 0)), "makes NaN or infinity"),
    "loss scalar": (lambda: module(loss=Loss(reduction="mean")), "token_loss returns () for labels (3, 4)"),
    "loss of samples": (lambda: module(loss=Loss(lambda x: x.mean(1))), "with reduction='none'"),
    "loss of a batch": (lambda: module(loss=Averaged()), "Averaged.forward returns ()"),
    "loss relative": (lambda: module(loss=Loss(lambda x: x / x.sum(1, True))), "counts tokens whose label"),
    "loss without IGNORE": (lambda: module(loss=Whole()), "Whole counts tokens whose label is IGNORE"),
    "loss across rows": (lambda: module(loss=Loss(lambda x: x - x.mean(0))), "depends on others"),
    "loss detached": (lambda: module(loss=Loss(Tensor.detach)), "Loss has no gradient"),
    "loss nan": (lambda: module(loss=Loss(lambda x: x / 0)), "Loss.forward returns NaN"),
    "loss dtype": (lambda: module(loss=Loss(Tensor.bfloat16)), "return (B,) torch.float32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_it_is_made(name):
    """Fails if what the part returns is not looked at."""
    build, reason = REFUSED[name]
    with pytest.raises(IncompatibleComponents) as caught:
        build()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scalar_is_no_loss_of_tokens_outside_of_a_model_either():
    """Fails if a mean over all tokens, ignored ones among them, passes for the loss of each."""
    labels = batch(2).labels
    with pytest.raises(IncompatibleComponents, match=r"token_loss returns \(\) for labels \(2, 16\)"):
        Loss(reduction="mean")(torch.zeros(*labels.shape, SIZES.vocab), labels)


def test_the_right_ones_pass_in_other_precisions():
    """Fails if the checks demand float32 for a model that is made in float64, or follow autocast."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        compose(halting=QLearningHalting())
    finally:
        torch.set_default_dtype(before)
    with torch.autocast("cpu", torch.bfloat16):
        compose(halting=CorrectnessHalting())
        module(loss=Loss())


class Normed(nn.Module):
    """A cell that counts what it is tried on."""

    def __init__(self):
        super().__init__()
        self.mix, self.norm = nn.Linear(SIZES.width, SIZES.width), nn.BatchNorm1d(SIZES.width)

    def forward(self, x):
        return self.norm(self.mix(x).transpose(1, 2)).transpose(1, 2)


def test_what_parts_are_tried_on_leaves_no_trace():
    """Fails if a norm of a new or changed model has seen the questions of zeros of the checks."""
    made = compose(SingleRefiner(Normed()))
    made.reconfigure(cycles=2)
    norm = made.refiner.cell.norm
    assert norm.num_batches_tracked == 0
    assert not norm.running_mean.any()


class Spread(ContinuousDecoder):
    """Reads out a mean and a spread of each number, and says so."""

    def outputs(self, sizes):
        return 2 * sizes.targets

    def forward(self, answer):
        return super().forward(answer).repeat(1, 1, 2)


class Likelihood(SequenceLoss):
    """The negative logarithm of a normal density, of what `Spread` reads out."""

    numbers = True

    def token_loss(self, logits, labels):
        mean, spread = logits.chunk(2, dim=-1)
        return spread + 0.5 * ((labels - mean) / spread.exp()).square()

    def right(self, logits, labels):
        return MeanSquaredError(0.5).right(logits.chunk(2, dim=-1)[0], labels)


def test_a_decoder_may_read_out_what_its_loss_needs():
    """Fails if a read-out can only be as wide as the labels, which leaves densities out."""
    made = continuous(decoder=Spread(), loss=Likelihood())
    fields = numbers(4)
    made.recursion.learn(made.recursion.start(fields), fields, made.loss, 0).loss.backward()
    assert made.recursion.decoder.head.weight.grad.any()


def test_what_the_data_hold_chooses_the_parts_that_are_not_named():
    made = continuous()
    kinds = [type(part) for part in (made.recursion.encoder, made.recursion.decoder, made.loss)]
    assert kinds == [ContinuousEncoder, ContinuousDecoder, MeanSquaredError]
    mixed = module(features=2).recursion
    assert [type(part) for part in (mixed.encoder, mixed.decoder)] == [ContinuousEncoder, TokenDecoder]
    mixed = module(targets=2).recursion
    assert [type(part) for part in (mixed.encoder, mixed.decoder)] == [TokenEncoder, ContinuousDecoder]
