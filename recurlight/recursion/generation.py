"""Text written token by token, each thought about for as many segments as it takes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurlight import draw
from recurlight.cells.memory import Memory, remembering
from recurlight.draw.seeding import seeded_evaluation
from recurlight.errors import IncompatibleComponents, NonFiniteError
from recurlight.losses import SequenceLoss
from recurlight.recursion.checks import at_least_one
from recurlight.recursion.compile import uncompiled
from recurlight.recursion.streaming import Streaming
from recurlight.spec.given import checked, within
from recurlight.stopping import Stopping
from recurlight.types import Batch, Sized

__all__ = ["Generating", "Word"]

_TRIED = 3
_CLOSE = 1e-3
"""How far logits of tokens read one by one may be from those read together, relative to the largest."""


class Word(NamedTuple):
    """A token that was written.

    Attributes:
        token: From 1 to `V - 1`; 0 ends a text, and is not written.
        segments: Segments that it took.
        confidence: The halting policy's probability that it is right; 0 where the policy does not judge.
    """

    token: int
    segments: int
    confidence: float


class Generating(Streaming, ABC):
    """The part of `Recursion` that writes."""

    @checked
    @torch.no_grad()
    def generate(
        self,
        prompt: Sequence[int],
        count: int | None = None,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 0,
        max_segments: int | None = None,
        adaptive: bool = True,
        cycles: int | None = None,
        stopping: Stopping | None = None,
        memory: Memory | None = None,
        loss: SequenceLoss | None = None,
    ) -> Iterator[Word]:
        """Write on from a prompt, token by token, as a causal model of the next token.

        Every token is read once: a `Memory` keeps its keys and values. The prompt is read with all segments;
        from its last token on each is thought about until its answer is settled. What is written is what
        reading everything anew for each token would give, exactly so where all tokens take the same number of
        segments and nothing is drawn. A model that draws, such as its starts, draws for each token anew, by
        `seed`. Cells run as they are written, not compiled. A model writes one token at a time: several texts
        may take turns, in one thread.

        Args:
            prompt: Tokens, 1 or more.
            count: Tokens to write at most; None for as many as the model's positions hold.
            temperature: 0 for the likeliest token, 1 for the model's own probabilities.
            top_k: Draw from the likeliest `top_k` tokens alone, at a temperature above 0; None for all.
            seed: Of the tokens that are drawn, and of what the model draws.
            max_segments: Most segments of a token; None for the model's own cap.
            adaptive: Let a token stop as in `solve`; otherwise each takes all segments.
            cycles: Cycles in a segment; None for the model's own.
            stopping: When a token stops; None for the rule of `solve`.
            memory: Where keys and values are kept; None for a new `Memory()`. One that was used goes on: its
                tokens are before the prompt, all but the last that was written.
            loss: By which the model learnt: says what its logits mean. None for `SoftmaxCrossEntropy`.

        Yields:
            Each token once it is written. The text ends at token 0, which is not yielded.

        Raises:
            IncompatibleComponents: A number is out of range, the prompt is too long, or the model is none of
                the next token: what it says of tokens read one by one is not what it says of them read
                together.
            NonFiniteError: The model says NaN.

        Example:
            >>> from recurlight import CausalTransformerCell, FixedHalting, LastCycles, SingleRefiner, Sizes
            >>> from recurlight import Recursion
            >>> cell = CausalTransformerCell(layers=1, heads=2)
            >>> recursion = Recursion(Sizes(9, 16, 32), SingleRefiner(cell), LastCycles(1), FixedHalting())
            >>> words = recursion.generate([1, 2], count=3, max_segments=2, adaptive=False)
            >>> [word.segments for word in words]
            [2, 2, 2]
        """
        last = at_least_one("max_segments", max_segments, self.max_segments)
        cycles = at_least_one("cycles", cycles, self.cycles)
        _require_draws(temperature, top_k)
        memory = Memory() if memory is None else memory
        count = self._room(prompt, count, memory.length)
        self._require_next_token(last, cycles)
        rule = self._rule(stopping, adaptive) if adaptive else None
        generator = torch.Generator().manual_seed(seed % 2**63)
        if len(prompt) > 1:
            self._read_piece(prompt[:-1], memory, last, cycles, seed=seed)
        token = prompt[-1]
        for _ in range(count):
            logits, segments, confidence = self._read_piece([token], memory, last, cycles, rule, seed)
            said = logits[0, -1] if loss is None else loss.log_probabilities(logits[0, -1])
            token = _chosen(said, temperature, top_k, generator)
            if not token:
                return
            yield Word(token, segments, confidence)

    def _room(self, prompt: Sequence[int], count: int | None, before: int) -> int:
        """Return how many tokens to write, where so many are before the prompt."""
        held, wrong = self.sizes.tokens - before, [one for one in prompt if not 0 <= one < self.sizes.vocab]
        if wrong or not len(prompt):
            found = f"has the token {wrong[0]}" if wrong else "is empty"
            raise IncompatibleComponents(f"the prompt {found}: give tokens from 0 to {self.sizes.vocab - 1}")
        room = held - len(prompt) + 1  # the last token that is written need not be read
        positions = f"{held} positions{' left' if before else ''}"
        if room < 1:
            raise IncompatibleComponents(
                f"the prompt has {len(prompt)} tokens and the model {positions}: give at most {held}"
            )
        if count is not None and not 1 <= count <= room:
            raise IncompatibleComponents(
                f"count is {count}: give 1 to {room}, for the model has {positions} and the prompt "
                f"{len(prompt)} tokens"
            )
        return room if count is None else count

    def _read_piece(
        self,
        tokens: Sequence[int],
        memory: Memory,
        last: int,
        cycles: int,
        rule: Stopping | None = None,
        seed: int = 0,
    ) -> tuple[Tensor, int, float]:
        """Read tokens that come after what is remembered: their logits, `(1, n, V)`, segments, confidence."""
        device = next((weight.device for weight in self.parameters()), torch.device("cpu"))
        asked, place = torch.tensor([list(tokens)], device=device), memory.length
        batch, kept = Batch(asked, asked, asked.new_zeros(1)), None
        drawing = seeded_evaluation(seed, place, device)
        with piece_told(self, place, len(tokens)), draw.of_batch(1), drawing, uncompiled(self.refiner):
            carry = self.start(batch)
            for _ in range(last):
                with remembering(self, memory):
                    carry, segment, score = self.segment(carry, batch, cycles)
                if rule is not None:
                    halted, kept = rule.look(self._seen(carry, segment, score), kept)
                    if halted.item():
                        break
        memory.keep()
        return segment.logits, int(carry.age.item()), float(self.halting.confidence(score).item())

    def _require_next_token(self, last: int, cycles: int) -> None:
        """Try three tokens together and one by one, which a model that sees what comes after cannot pass."""
        name = type(self.refiner).__name__
        if self.sizes.prefix or self.sizes.features or self.sizes.targets or self.feedback is not None:
            raise IncompatibleComponents(
                "generate writes tokens, and takes no task prefix and no feedback: set model.prefix to 0, "
                "and the supervision to another than Denoising"
            )
        tokens = [token % self.sizes.vocab for token in range(1, min(_TRIED, self.sizes.tokens) + 1)]
        cause = None
        try:
            with self._on_trial(), draw.still():
                if self._reads_piecewise(tokens, min(last, 2), cycles):
                    return
        except RuntimeError as error:  # torch's word for a part that has weights for places
            cause = error
        raise IncompatibleComponents(
            f"{name} with these cells does not write: what it says of a token depends on those after it, or "
            "on how many are read together; give it cells such as CausalTransformerCell"
        ) from cause

    def _reads_piecewise(self, tokens: Sequence[int], depth: int, cycles: int) -> bool:
        """Tell whether tokens that are read one by one get the logits of those that are read together."""
        memory = Memory()
        whole = self._read_piece(tokens, Memory(), depth, cycles)[0][0]
        _require_numbers(whole)
        parts = [self._read_piece([token], memory, depth, cycles)[0][0] for token in tokens]
        close = _CLOSE * max(1.0, float(whole.nan_to_num(posinf=0.0, neginf=0.0).abs().max()))
        return torch.allclose(whole, torch.cat(parts), rtol=0, atol=close)


@contextmanager
def piece_told(model: nn.Module, first: int, count: int) -> Iterator[None]:
    """Make every part of a model take `count` tokens that begin at place `first`, and undo it at the end.

    Args:
        model: A `Recursion`.
        first: Tokens before.
        count: Tokens of the piece.
    """
    parts = [part for part in model.modules() if isinstance(part, Sized)]
    kept = [(part.sizes, part.offset) for part in parts]
    owner: Any = model
    whole = owner.sizes
    try:
        owner.sizes = whole._replace(tokens=count, grid=None)
        for part in parts:
            part.sizes, part.offset = owner.sizes, first
        yield
    finally:
        owner.sizes = whole
        for part, before in zip(parts, kept, strict=True):
            part.sizes, part.offset = before


def _require_numbers(logits: Tensor) -> None:
    """Refuse NaN, for which no token is likelier than another."""
    if logits.isnan().any():
        raise NonFiniteError(
            "the model says NaN or infinity of the next token: its weights are spoilt; take others"
        )


def _require_draws(temperature: float, top_k: int | None) -> None:
    """Refuse numbers out of range, and a choice of what to draw from where nothing is drawn."""
    within("Recursion.generate", "temperature", temperature, 0)
    if top_k is None:
        return
    within("Recursion.generate", "top_k", top_k, 1)
    if not temperature:
        raise IncompatibleComponents(
            f"top_k is {top_k} and temperature 0, which draws nothing: give a temperature above 0, such "
            "as 0.8, or leave top_k out"
        )


def _chosen(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """Choose a token by logits, `(V,)`, or by logarithms of probabilities."""
    logits = logits.float().cpu()
    _require_numbers(logits)
    if not temperature or top_k == 1:
        return int(logits.argmax())
    likeliest, tokens = logits.topk(min(top_k or len(logits), len(logits)))
    _require_numbers(likeliest[0] - likeliest[0])
    least = torch.finfo(logits.dtype).tiny  # what is smaller would be 0
    chances = ((likeliest - likeliest[0]) / max(temperature, least)).softmax(-1)
    return int(tokens[torch.multinomial(chances, 1, generator=generator)])
