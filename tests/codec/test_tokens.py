"""Tokens to injection and answer to logits, written out."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, bound, seeded

from recurlight.codec.tokens import TokenDecoder, TokenEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.types import Sizes

PREFIXED = Sizes(vocab=6, tokens=5, width=8, prefix=3, tasks=4)
TOKENS = torch.tensor([[0, 1, 2, 3, 4], [5, 5, 0, 1, 2], [3, 3, 3, 3, 3]])
TASK = torch.tensor([2, 0, 3])


def encoder(sizes=PREFIXED, **settings):
    made = bound(TokenEncoder(**settings), sizes)
    if sizes.prefix:  # away from the start, where every task is zero
        made.task.data = torch.randn(made.task.shape, generator=seeded(2))
    return made


def test_tokens_are_embedded_and_scaled_by_the_root_of_the_width():
    plain = encoder(PREFIXED._replace(prefix=0))
    injection = plain(TOKENS, TASK)
    assert injection.shape == (3, 5, 8)
    for row in range(3):
        for place in range(5):
            torch.testing.assert_close(injection[row, place], plain.token[TOKENS[row, place]] * 8**0.5)


@pytest.mark.parametrize("learned", [False, True])
def test_the_injection_has_unit_spread(learned):
    sizes = Sizes(vocab=500, tokens=200, width=64)
    tokens = torch.randint(0, 500, (4, 200), generator=seeded(1))
    injection = encoder(sizes, learned_positions=learned)(tokens, torch.zeros(4, dtype=torch.int64))
    assert injection.std().item() == pytest.approx(1, abs=0.02)


def test_without_a_prefix_there_is_no_task_embedding():
    assert dict(encoder(SIZES).named_parameters()).keys() == {"token"}


def test_tasks_are_zero_at_first():
    fresh = bound(TokenEncoder(), PREFIXED)
    assert fresh.task.shape == (4, 8)
    assert not fresh(TOKENS, TASK)[:, :3].any()


def test_the_prefix_is_the_row_of_the_task_padded_with_zeros():
    made = encoder(task_width=11)
    prefix = made(TOKENS, TASK)[:, :3] / 8**0.5
    for row, task in enumerate(TASK):
        torch.testing.assert_close(prefix[row, 0], made.task[task, :8])
        torch.testing.assert_close(prefix[row, 1, :3], made.task[task, 8:])
    assert not prefix[:, 1, 3:].any()
    assert not prefix[:, 2].any()


def test_tokens_follow_the_prefix_untouched():
    made = encoder(task_width=24)
    torch.testing.assert_close(made(TOKENS, TASK)[:, 3:], made.token[TOKENS] * 8**0.5)


def test_only_the_tasks_in_the_batch_are_trained():
    made = encoder()
    (made(TOKENS, TASK) * torch.randn(3, 8, 8, generator=seeded(1))).sum().backward()
    assert made.task.grad.abs().sum(1).bool().tolist() == [True, False, True, True]


def test_learned_positions_are_added_to_prefix_and_tokens():
    made = encoder(learned_positions=True)
    plain = torch.cat([made.task_prefix(TASK, 8), made.token[TOKENS]], dim=1)
    assert made.position.shape == (8, 8)
    expected = torch.stack([row + made.position for row in plain]) / 2**0.5 * 8**0.5
    torch.testing.assert_close(made(TOKENS, TASK), expected)


def test_the_injection_takes_the_dtype_of_the_model_or_of_autocast():
    made = encoder(learned_positions=True)
    plain = made(TOKENS, TASK)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(TOKENS, TASK), plain.bfloat16())  # rounded once
    assert plain.dtype == torch.float32
    assert made.double()(TOKENS, TASK).dtype == torch.float64


@pytest.mark.parametrize("width", [25, 100])
def test_a_task_vector_that_does_not_fit_is_refused(width):
    with pytest.raises(IncompatibleComponents) as caught:
        bound(TokenEncoder(task_width=width), PREFIXED)
    assert f"task_width {width} does not fit 3 prefix positions: " in str(caught.value)
    assert "set task_width between 1 and 24 or change model.prefix" in str(caught.value)


def test_the_read_out_drops_the_prefix():
    decoder = bound(TokenDecoder(), PREFIXED)
    answer = torch.randn(3, 8, 8, generator=seeded(1))
    expected = torch.einsum("bld,vd->blv", answer[:, 3:], decoder.head.weight)
    torch.testing.assert_close(decoder(answer), expected)
    changed = answer.clone()
    changed[:, :3] = 7
    assert torch.equal(decoder(changed), decoder(answer))


def test_logits_are_float32_under_autocast():
    decoder = bound(TokenDecoder(), PREFIXED)
    answer = torch.randn(3, 8, 8, generator=seeded(1)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        logits = decoder(answer)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, decoder(answer.float()))
    assert decoder.double()(answer.double()).dtype == torch.float64


@pytest.mark.parametrize("kind", [TokenEncoder, TokenDecoder])
def test_weights_are_drawn_from_the_given_generator_alone(kind):
    sizes = PREFIXED._replace(prefix=0)
    first = next(bound(kind(), sizes, seed=1).parameters())
    torch.rand(7)  # whatever global random state holds
    assert torch.equal(first, next(bound(kind(), sizes, seed=1).parameters()))
    assert not torch.equal(first, next(bound(kind(), sizes, seed=2).parameters()))
