"""Writing token by token, against reading everything anew."""

from __future__ import annotations

import pytest
import torch
from causal_models import REFINERS, SIZES, in_pieces, model, usual, whole
from helpers import attention, causal, mixer
from torch import nn

from recurlight import draw
from recurlight.cells.memory import Memory
from recurlight.codec import TokenEncoder
from recurlight.errors import IncompatibleComponents, NonFiniteError
from recurlight.halting import CorrectnessHalting
from recurlight.losses import SoftmaxCrossEntropy, StablemaxCrossEntropy
from recurlight.recursion import compile_cells
from recurlight.recursion.driver import Recursion
from recurlight.recursion.generation import piece_told
from recurlight.refiners import AddedInjection, DampedRefiner, InjectedRefiner, SingleRefiner
from recurlight.stopping import StableAnswer, Stopping
from recurlight.truncation import ImplicitGradient


def anew(recursion: Recursion, prompt: list[int], count: int, segments: int) -> list[int]:
    """Write by reading the whole text for every token, padded to the model's length."""
    text = list(prompt)
    for _ in range(count):
        row = torch.tensor([text + [0] * (SIZES.tokens - len(text))])
        text.append(int(whole(recursion, row, segments)[0, len(text) - 1].argmax()))
        if not text[-1]:
            return text[len(prompt) : -1]
    return text[len(prompt) :]


@pytest.mark.parametrize("refiner", REFINERS)
@pytest.mark.parametrize("prompt", [[3], [1, 5, 2, 8]])
def test_what_is_written_is_what_reading_anew_would_write(refiner, prompt):
    recursion = model(REFINERS[refiner](causal))
    with draw.still():
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
    recursion = usual(halting=CorrectnessHalting())
    prompt = opening(recursion)
    plain = list(recursion.generate(prompt, adaptive=False))
    assert list(recursion.generate(prompt, stopping=Never())) == plain
    assert plain[0].confidence == pytest.approx(torch.tensor(-5.0).sigmoid().item())


def test_a_token_stops_when_its_answer_is_settled():
    """Fails if the rule of one token remembers another's answer."""
    recursion = usual()
    words = list(
        recursion.generate(opening(recursion), 4, max_segments=16, stopping=StableAnswer(patience=1))
    )
    assert words
    assert all(2 <= word.segments < 16 for word in words)


def thought(recursion: Recursion, text: torch.Tensor, ran: list[int]) -> torch.Tensor:
    """Return the logits of each token after its own segments, all of them worked on together.

    One that has stopped is held where its last segment began, so that others see what it said there.
    """
    stop, logits = torch.tensor(ran)[:, None], []
    with torch.no_grad(), piece_told(recursion, 0, len(ran)):
        injection = recursion.encoder(text, text[:, 0] * 0)
        begin = recursion.refiner.initial_state(injection)
        for segment in range(1, max(ran) + 1):
            end = recursion.refiner.update(begin, injection, "answer")
            logits.append(recursion.decoder(end.answer))
            begin = begin._replace(answer=torch.where(stop > segment, end.answer, begin.answer))
    return torch.stack([logits[count - 1][:, place] for place, count in enumerate(ran)], dim=1)


def test_a_token_that_stopped_is_seen_as_it_was_in_its_last_segment():
    """Fails if in a segment that a token did not run others see anything but its last one."""
    recursion, text = usual(cycles=1), torch.tensor([[3, 1, 5, 2, 8, 4]])
    ran, memory, parts = [3, 1, 2, 4, 1, 3], Memory(), []
    for place, count in enumerate(ran):
        parts.append(in_pieces(recursion, text[:, place:], (0, 1), count, memory))
    torch.testing.assert_close(torch.cat(parts, 1), thought(recursion, text, ran), rtol=0, atol=1e-12)


def test_what_is_written_adaptively_is_what_those_segments_say():
    recursion = usual(cycles=1)
    prompt = opening(recursion)
    words = list(recursion.generate(prompt, 4, max_segments=16, stopping=StableAnswer(patience=1)))
    text = [*prompt, *(word.token for word in words)][:-1]
    ran = [16] * (len(prompt) - 1) + [word.segments for word in words]
    said = thought(recursion, torch.tensor([text]), ran)[0, len(prompt) - 1 :].argmax(-1)
    assert len({*ran}) > 1
    assert said.tolist() == [word.token for word in words]


def test_draws_depend_on_seed_temperature_and_the_likeliest_k():
    recursion = usual()
    written = [
        [word.token for word in recursion.generate([3], temperature=2.0, seed=seed)] for seed in (0, 0, 1)
    ]
    assert written[0] == written[1] != written[2]
    greedy = [word.token for word in recursion.generate([3])]
    assert [word.token for word in recursion.generate([3], temperature=2.0, top_k=1)] == greedy


def test_any_whole_number_is_a_seed():
    recursion = usual()
    for seed in (-1, 2**80):
        assert list(recursion.generate([3], 2, temperature=1.0, seed=seed)) is not None


def test_the_likeliest_of_equals_is_one_token():
    """Fails if `top_k` lets all tokens in that are as likely as the last, or differs from the greedy one."""
    recursion, said = usual(), torch.tensor([0.0, 0, 1, 0, 2, 2, 2, 0, 0])
    recursion.decoder.register_forward_hook(lambda *args: said.expand_as(args[-1]))
    drawn = {
        k: {next(recursion.generate([3], temperature=9.0, top_k=k, seed=seed)).token for seed in range(30)}
        for k in (1, 2)
    }
    assert drawn[1] == {next(recursion.generate([3])).token}
    assert len(drawn[2]) == 2


def test_almost_no_temperature_is_none():
    """Fails where logits are divided by so little that they overflow."""
    recursion = usual()
    prompt = opening(recursion)
    for little in (1e-45, 1e-300):  # the second is 0 in float32
        assert list(recursion.generate(prompt, temperature=little)) == list(recursion.generate(prompt))


NOISY = {
    "drawn start": lambda: InjectedRefiner(causal(), AddedInjection(), sigma=0.6),
    "drawn updates": lambda: DampedRefiner(SingleRefiner(causal()), noise=0.5),
}


@pytest.mark.parametrize("refiner", NOISY)
def test_a_model_that_draws_writes_by_its_seed(refiner):
    """Fails if its draws come from the global generator, or are taken for a look ahead."""
    recursion = model(NOISY[refiner]())
    torch.manual_seed(0)
    first = [list(recursion.generate([3, 4], temperature=1.0, seed=seed)) for seed in range(4)]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert [list(recursion.generate([3, 4], temperature=1.0, seed=seed)) for seed in range(4)] == first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len({tuple(words) for words in first}) > 1


def test_a_model_that_says_nothing_is_told_of():
    recursion = usual()
    recursion.decoder.head.weight.data[3] = torch.nan
    with pytest.raises(NonFiniteError, match="the model says NaN or infinity of the next token"):
        next(recursion.generate([1, 2]))


def test_a_model_that_is_infinitely_sure_of_a_token_is_told_of():
    recursion = usual()
    recursion.decoder.register_forward_hook(
        lambda *args: args[-1].index_fill(-1, torch.tensor([3]), torch.inf)
    )
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        next(recursion.generate([1, 2], temperature=1.0))


def test_compiled_cells_write_as_they_are_written():
    """Fails if each length is a graph of its own, of which there may be few."""
    recursion, compiled = usual(), usual()
    compile_cells(compiled.refiner, backend="eager")
    prompt = opening(recursion, 8)
    assert list(compiled.generate(prompt, 8)) == list(recursion.generate(prompt, 8))


def test_texts_that_take_turns_are_what_they_are_alone():
    recursion = usual(encoder=TokenEncoder(learned_positions=True))
    prompts = [[1, 2], [7, 3, 5, 2], [4]]
    alone = [list(recursion.generate(prompt, 6, temperature=1.0)) for prompt in prompts]
    running = [recursion.generate(prompt, 6, temperature=1.0) for prompt in prompts]
    rows = [[next(one, None) for one in running] for _ in range(6)]
    row = torch.tensor([[1, 2, 3]])  # another question in between
    logits = whole(recursion, torch.nn.functional.pad(row, (0, 9)))
    assert [[word for word in column if word] for column in zip(*rows, strict=True)] == alone
    assert torch.equal(whole(recursion, torch.nn.functional.pad(row, (0, 9))), logits)


def test_a_memory_goes_on_where_it_was_left():
    recursion = usual()
    prompt = opening(recursion)
    whole = [word.token for word in recursion.generate(prompt, 6, adaptive=False)]
    memory = Memory()
    first = [word.token for word in recursion.generate(prompt, 2, memory=memory, adaptive=False)]
    assert memory.length == len(prompt) + 1
    rest = recursion.generate(first[-1:], 2, memory=memory, adaptive=False)
    assert first + [word.token for word in rest] == whole[:4]
    with pytest.raises(
        IncompatibleComponents, match="9 tokens and the model 7 positions left: give at most 7"
    ):
        next(recursion.generate([1] * 9, memory=memory))


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_error_amid_a_token_leaves_memory_and_model_as_they_were():
    """Fails if the half of a piece counts as segments of the next one."""
    recursion, text = usual(), torch.tensor([[3, 1, 5, 2]])
    memory, known = Memory(), in_pieces(recursion, text, (0, 2, 3, 4))
    first = in_pieces(recursion, text, (0, 2), memory=memory)
    stopped = recursion.decoder.register_forward_pre_hook(interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_pieces(recursion, text[:, 2:], (0, 1), memory=memory)
    stopped.remove()
    second = in_pieces(recursion, text[:, 2:], (0, 1, 2), memory=memory)
    assert torch.equal(torch.cat([first, second], dim=1), known)
    assert recursion.sizes == SIZES


def test_the_model_is_as_it_was_also_if_writing_is_given_up():
    recursion = usual(encoder=TokenEncoder(learned_positions=True))
    next(iter(recursion.generate([3, 4], 5)))
    assert recursion.sizes == SIZES
    assert {part.sizes for part in recursion.modules() if hasattr(part, "sizes")} == {SIZES}
    assert {getattr(part, "memory", None) for part in recursion.modules()} == {None}


class Solved(nn.Module):
    """A causal cell that works the longer, the more there is to read."""

    def __init__(self):
        super().__init__()
        self.cell = causal()

    def forward(self, x):
        for _ in range(x.shape[1]):
            x = self.cell(x)
        return x


@pytest.mark.parametrize("cell", [attention, mixer, Solved])
def test_a_model_that_looks_ahead_is_refused(cell):
    with pytest.raises(IncompatibleComponents, match="give it cells such as CausalTransformerCell"):
        list(usual(cell).generate([1, 2], 2))


def test_a_model_that_is_solved_for_all_tokens_at_once_is_refused():
    recursion = usual(truncation=ImplicitGradient(), cycles=6)
    with pytest.raises(IncompatibleComponents, match="or on how many are read together"):
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
        ([1], {"cycles": 0}, "cycles=0: give 1 or more"),
        ([1], {"temperature": float("nan")}, "temperature"),
    ],
)
def test_what_cannot_be_written_is_refused(prompt, settings, says):
    recursion = usual()
    with pytest.raises(IncompatibleComponents, match=says):
        list(recursion.generate(prompt, **settings))


def test_a_text_fills_all_positions():
    """The last token that is written is not read, so that a prompt that fills the model still gets one."""
    recursion = usual()
    assert len(list(recursion.generate([1] * 12))) <= 1
    assert len(list(recursion.generate([1] * 4))) <= 9


def test_tokens_are_drawn_by_the_probabilities_of_the_loss():
    """Fails if logits of stablemax, which grow slowly into probabilities, are taken for those of softmax."""
    recursion = model(SingleRefiner(causal()))
    with torch.no_grad():
        recursion.decoder.head.weight.mul_(1000)  # softmax is then as good as certain

    def drawn(**settings):
        words = recursion.generate([1, 2], 8, seed=3, max_segments=1, adaptive=False, **settings)
        return [word.token for word in words]

    greedy = drawn()
    assert drawn(temperature=1.0) == drawn(temperature=1.0, loss=SoftmaxCrossEntropy()) == greedy
    assert drawn(temperature=1.0, loss=StablemaxCrossEntropy()) != greedy
    assert drawn(temperature=1.0, loss=StablemaxCrossEntropy(), top_k=1) == greedy
