"""Writing token by token, against reading everything anew."""

from __future__ import annotations

import pytest
import torch
from helpers import attention, mixer, seeded
from torch import nn

from recurlight.cells import CausalTransformerCell
from recurlight.cells.memory import Memory, remembering
from recurlight.codec import DeepDecoder, DeepEncoder, TokenEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, FixedHalting
from recurlight.recursion.driver import Recursion
from recurlight.recursion.generation import piece_told
from recurlight.refiners import AddedInjection, InjectedRefiner, SingleRefiner, TwoLevelRefiner
from recurlight.stopping import StableAnswer, Stopping
from recurlight.truncation import LastCycles
from recurlight.types import Batch, Sizes

SIZES = Sizes(vocab=9, tokens=12, width=16)


def causal(layers: int = 1) -> CausalTransformerCell:
    return CausalTransformerCell(layers, heads=2, multiple=16)


REFINERS = {
    "single": lambda: SingleRefiner(causal(2)),
    "two levels, one network": lambda: TwoLevelRefiner(causal(), latent_steps=2),
    "two levels, two networks": lambda: TwoLevelRefiner(causal(), causal(), latent_steps=1),
    "injected": lambda: InjectedRefiner(causal(), AddedInjection()),
}
CODECS = {
    "plain": dict,
    "prelude and coda": lambda: {"encoder": DeepEncoder(causal()), "decoder": DeepDecoder(causal())},
    "learned positions": lambda: {"encoder": TokenEncoder(learned_positions=True)},
}


def model(refiner: nn.Module, dtype=torch.float64, halting=None, **codec) -> Recursion:
    return Recursion(
        SIZES, refiner, LastCycles(1), halting or FixedHalting(), **codec, cycles=2, max_segments=3, seed=1
    ).to(dtype)


def anew(recursion: Recursion, prompt: list[int], count: int, segments: int) -> list[int]:
    """Write by reading the whole text for every token, padded to the model's length."""
    text = list(prompt)
    for _ in range(count):
        row = torch.tensor([text + [0] * (SIZES.tokens - len(text))])
        found = recursion.solve(Batch(row, row, row[:, 0] * 0), segments, adaptive=False)
        text.append(int(found.logits[0, len(text) - 1].argmax()))
        if not text[-1]:
            return text[len(prompt) : -1]
    return text[len(prompt) :]


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("refiner", REFINERS)
def test_tokens_read_one_by_one_are_tokens_read_together(refiner, codec, dtype, close):
    """Fails if a slot of the memory is another call's, positions are off by one, or a piece is not causal."""
    recursion = model(REFINERS[refiner](), dtype, **CODECS[codec]())
    text = torch.randint(1, 9, (2, 12), generator=seeded(3))
    whole = recursion.solve(Batch(text, text, text[:, 0] * 0), 3, adaptive=False).logits
    memory, parts = Memory(), []
    for first, last in ((0, 5), (5, 6), (6, 9), (9, 12)):  # pieces of several tokens, and of one
        piece = text[:, first:last]
        batch = Batch(piece, piece, text[:, 0] * 0)
        with torch.no_grad(), piece_told(recursion, memory.length, last - first):
            carry = recursion.start(batch)
            for _ in range(3):
                with remembering(recursion, memory):
                    carry, segment, _ = recursion.segment(carry, batch)
        memory.keep()
        parts.append(segment.logits)
    assert memory.length == 12
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=close)


@pytest.mark.parametrize("refiner", REFINERS)
@pytest.mark.parametrize("prompt", [[3], [1, 5, 2, 8]])
def test_what_is_written_is_what_reading_anew_would_write(refiner, prompt):
    recursion = model(REFINERS[refiner]())
    words = list(recursion.generate(prompt, 8, max_segments=2, adaptive=False))
    assert [word.token for word in words] == anew(recursion, prompt, 8, 2)
    assert {word.segments for word in words} <= {2}


def opening(recursion: Recursion, count: int = 4) -> list[int]:
    """Find a prompt after which the text does not end at once."""
    return next(
        [first, second]
        for first in range(1, 9)
        for second in range(1, 9)
        if len(list(recursion.generate([first, second], count, adaptive=False))) == count
    )


class Never(Stopping):
    def look(self, seen, memory):
        return torch.zeros_like(seen.halts), None


def test_an_adaptive_reading_in_which_nothing_stops_is_the_whole_one():
    recursion = model(REFINERS["single"](), halting=CorrectnessHalting())
    prompt = opening(recursion)
    plain = list(recursion.generate(prompt, adaptive=False))
    assert list(recursion.generate(prompt, stopping=Never())) == plain
    assert plain[0].confidence == pytest.approx(torch.tensor(-5.0).sigmoid().item())


def test_a_token_stops_when_its_answer_is_settled():
    """Fails if the rule of one token remembers another's answer."""
    recursion = model(REFINERS["single"]())
    words = list(
        recursion.generate(opening(recursion), 4, max_segments=16, stopping=StableAnswer(patience=1))
    )
    assert words
    assert all(2 <= word.segments < 16 for word in words)


@pytest.mark.parametrize("name", REFINERS)
def test_no_position_sees_what_comes_after_it(name):
    """Fails if any part of a causal model, its halting score aside, looks ahead."""
    recursion = model(REFINERS[name](), **CODECS["prelude and coda"]())
    text = torch.randint(1, 9, (1, 12), generator=seeded(5))
    before = recursion.solve(Batch(text, text, text[:, 0] * 0), 2, adaptive=False).logits
    for place in range(12):
        other = text.clone()
        other[0, place] = 1 + text[0, place] % 8
        after = recursion.solve(Batch(other, other, text[:, 0] * 0), 2, adaptive=False).logits
        assert torch.equal(after[0, :place], before[0, :place])
        assert not torch.equal(after[0, place], before[0, place])


def test_draws_depend_on_seed_temperature_and_the_likeliest_k():
    recursion = model(REFINERS["single"]())
    written = [
        [word.token for word in recursion.generate([3], temperature=2.0, seed=seed)] for seed in (0, 0, 1)
    ]
    assert written[0] == written[1] != written[2]
    greedy = [word.token for word in recursion.generate([3])]
    assert [word.token for word in recursion.generate([3], temperature=2.0, top_k=1)] == greedy


def test_nothing_is_taken_from_the_global_generator():
    recursion = model(REFINERS["single"]())
    before = torch.random.get_rng_state()
    list(recursion.generate([3], 3, temperature=1.0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_model_is_as_it_was_also_if_writing_is_given_up():
    recursion = model(REFINERS["single"](), **CODECS["learned positions"]())
    next(iter(recursion.generate([3, 4], 5)))
    assert recursion.sizes == SIZES
    assert {part.sizes for part in recursion.modules() if hasattr(part, "sizes")} == {SIZES}
    assert {getattr(part, "memory", None) for part in recursion.modules()} == {None}


@pytest.mark.parametrize("cell", [attention, mixer])
def test_a_model_that_looks_ahead_is_refused(cell):
    recursion = model(SingleRefiner(cell()))
    with pytest.raises(IncompatibleComponents, match="give it cells such as CausalTransformerCell"):
        list(recursion.generate([1, 2], 2))


@pytest.mark.parametrize(
    ("prompt", "settings", "says"),
    [
        ([], {}, "the prompt is empty"),
        ([9], {}, "the prompt has the token 9: give tokens from 0 to 8"),
        ([1] * 13, {}, "the prompt has 13 tokens and the model 12 positions: give at most 12"),
        ([1] * 10, {"count": 4}, "count is 4: give 1 to 3"),
        ([1], {"count": 0}, "count is 0: give 1 to 12"),
        ([1], {"temperature": -1.0}, "temperature"),
        ([1], {"top_k": 0}, "top_k"),
        ([1], {"max_segments": 0}, "max_segments"),
    ],
)
def test_what_cannot_be_written_is_refused(prompt, settings, says):
    recursion = model(REFINERS["single"]())
    with pytest.raises(IncompatibleComponents, match=says):
        list(recursion.generate(prompt, **settings))


def test_a_text_fills_all_positions():
    """The last token that is written is not read, so that a prompt that fills the model still gets one."""
    recursion = model(REFINERS["single"]())
    assert len(list(recursion.generate([1] * 12))) <= 1
    assert len(list(recursion.generate([1] * 4))) <= 9
