"""Numbers to injection and answer to numbers, against formulas in float64 that are written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import bound, seeded

from recurlight.codec import ContinuousDecoder, ContinuousEncoder, TokenDecoder
from recurlight.errors import IncompatibleComponents
from recurlight.types import Sizes

SIZES = Sizes(vocab=0, tokens=5, width=8, features=3, targets=2)
PREFIXED = SIZES._replace(prefix=2, tasks=4)
TASK = torch.tensor([2, 0, 3])
FIELD = torch.randn(3, 5, 3, generator=seeded(7))


def encoder(sizes=SIZES, **settings):
    """An encoder away from its start, where bias and tasks are zero."""
    made = bound(ContinuousEncoder(**settings), sizes)
    made.bias.data = torch.randn(made.bias.shape, generator=seeded(2))
    if sizes.prefix:
        made.task.data = torch.randn(made.task.shape, generator=seeded(3))
    return made


def plain(tensor):
    return tensor.detach().double().numpy()


@pytest.mark.parametrize("learned", [False, True])
def test_the_injection_is_a_scaled_linear_map_of_each_position(learned):
    made = encoder(learned_positions=learned)
    weight, bias, field = plain(made.weight), plain(made.bias), plain(FIELD)
    expected = np.zeros((3, 5, 8))
    for row in range(3):
        for place in range(5):
            embedded = weight @ field[row, place] + bias
            if learned:
                embedded = (embedded + plain(made.position)[place]) / np.sqrt(2)
            expected[row, place] = np.sqrt(8) * embedded
    np.testing.assert_allclose(plain(made(FIELD, TASK)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain(made.double()(FIELD.double(), TASK)), expected, rtol=1e-12, atol=1e-12)


def test_the_prefix_is_the_task_and_the_numbers_follow_untouched():
    """Fails if the prefix that it shares with the token encoder is lost, or shifts the positions."""
    made = encoder(PREFIXED)
    found = made(FIELD, TASK)
    assert found.shape == (3, 7, 8)
    torch.testing.assert_close(found[:, 0], made.task[TASK] * 8**0.5)
    assert not found[:, 1].any()
    alone = torch.nn.functional.linear(FIELD, made.weight, made.bias) * 8**0.5
    torch.testing.assert_close(found[:, 2:], alone)


@pytest.mark.parametrize("learned", [False, True])
def test_numbers_of_unit_size_make_an_injection_of_unit_size(learned):
    sizes = Sizes(vocab=0, tokens=300, width=64, features=5, targets=1)
    field = torch.randn(4, 300, 5, generator=seeded(1))
    made = bound(ContinuousEncoder(learned_positions=learned), sizes)
    assert made(field, torch.zeros(4, dtype=torch.int64)).std().item() == pytest.approx(1, abs=0.07)


def test_a_field_is_rounded_once_under_autocast_and_taken_in_the_dtype_of_the_weights():
    """Fails if the numbers are rounded before the map, where digits of them are lost."""
    made = encoder(learned_positions=True)
    whole = made(FIELD, TASK)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(FIELD, TASK), whole.bfloat16())
    assert made(FIELD.double(), TASK).dtype == torch.float32
    assert made.double()(FIELD, TASK).dtype == torch.float64


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (torch.zeros(3, 5, dtype=torch.int64), "numbers is (3, 5) torch.int64: give (B, L, 3) float32"),
        (FIELD[:, :, :2], "numbers is (3, 5, 2) torch.float32: give (B, L, 3) float32"),
        (FIELD[:, :4], "numbers is (3, 4, 3) torch.float32: give (B, L, 3) float32"),
        (FIELD.half(), "numbers is (3, 5, 3) torch.float16: give (B, L, 3) float32"),
        (FIELD.tolist(), "numbers is a list: give a tensor (B, L, 3) float32"),
    ],
)
def test_what_is_no_such_field_is_refused_in_one_line(field, message):
    with pytest.raises(IncompatibleComponents) as caught:
        encoder()(field, TASK)
    assert str(caught.value) == message


def test_the_read_out_is_affine_and_drops_the_prefix():
    decoder = bound(ContinuousDecoder(), PREFIXED)
    decoder.bias.data = torch.tensor([0.5, -2.0])
    answer = torch.randn(3, 7, 8, generator=seeded(1))
    expected = plain(answer)[:, 2:] @ plain(decoder.head.weight).T + np.array([0.5, -2.0])
    np.testing.assert_allclose(plain(decoder(answer)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain(decoder.double()(answer.double())), expected, rtol=1e-12, atol=1e-12)


def test_numbers_are_float32_under_autocast():
    decoder = bound(ContinuousDecoder(), SIZES)
    answer = torch.randn(3, 5, 8, generator=seeded(1)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        numbers = decoder(answer)
    assert numbers.dtype == torch.float32
    assert torch.equal(numbers, decoder(answer.float()))


def test_every_weight_has_the_gradient_of_the_formula():
    """The gradient of `sum(c * numbers)` by each weight, written out, with the cell left away."""
    made, decoder = encoder().double(), bound(ContinuousDecoder(), SIZES).double()
    weights = torch.randn(3, 5, 2, generator=seeded(4)).double()
    (decoder(made(FIELD.double(), TASK)) * weights).sum().backward()
    back = np.einsum("blg,gd->bld", plain(weights), plain(decoder.head.weight)) * np.sqrt(8)
    np.testing.assert_allclose(
        plain(made.weight.grad), np.einsum("bld,blf->df", back, plain(FIELD)), rtol=1e-10
    )
    np.testing.assert_allclose(plain(made.bias.grad), back.sum((0, 1)), rtol=1e-10)
    np.testing.assert_allclose(plain(decoder.bias.grad), plain(weights).sum((0, 1)), rtol=1e-10)


@pytest.mark.parametrize("kind", [ContinuousEncoder, ContinuousDecoder])
def test_weights_are_drawn_from_the_given_generator_alone(kind):
    def weights(seed):
        return torch.cat([weight.flatten() for weight in bound(kind(), SIZES, seed=seed).parameters()])

    first = weights(1)
    torch.rand(7)  # whatever global random state holds
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        (TokenDecoder, SIZES, "TokenDecoder reads tokens out and the answers of the data are numbers: "),
        (
            ContinuousDecoder,
            Sizes(6, 5, 8),
            "ContinuousDecoder reads numbers out and the answers of the data",
        ),
    ],
)
def test_a_decoder_for_the_other_kind_of_answer_is_refused(kind, sizes, message):
    with pytest.raises(IncompatibleComponents) as caught:
        bound(kind(), sizes)
    assert str(caught.value).startswith(message)
    assert "set model.decoder to null or to " in str(caught.value)
