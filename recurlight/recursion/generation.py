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
from recurlight.errors import IncompatibleComponents
from recurlight.recursion.checks import at_least_one
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
    ) -> Iterator[Word]:
        """Write on from a prompt, token by token, as a causal model of the next token.

        Every token is read once: a `Memory` keeps its keys and values. The prompt is read with all segments;
        after that each token is thought about until its answer is settled. What is written is what reading
        everything anew for each token would give, exactly so where all tokens take the same number of
        segments.

        Args:
            prompt: Tokens, 1 or more.
            count: Tokens to write at most; None for as many as the model's positions hold.
            temperature: 0 for the likeliest token, 1 for the model's own probabilities.
            top_k: Draw from the likeliest `top_k` tokens alone; None for all.
            seed: Of the draws.
            max_segments: Most segments of a token; None for the model's own cap.
            adaptive: Let a token stop as in `solve`; otherwise each takes all segments.
            cycles: Cycles in a segment; None for the model's own.
            stopping: When a token stops; None for the rule of `solve`.
            memory: Where keys and values are kept; None for a new `Memory()`.

        Yields:
            Each token once it is written. The text ends at token 0, which is not yielded.

        Raises:
            IncompatibleComponents: A number is out of range, the prompt is too long, or the model is none of
                the next token: what it says of tokens read one by one is not what it says of them read
                together.

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
        within("Recursion.generate", "temperature", temperature, 0)
        within("Recursion.generate", "top_k", 1 if top_k is None else top_k, 1)
        count = self._room(prompt, count)
        self._require_next_token(last, cycles)
        rule = self._rule(stopping, adaptive) if adaptive else None
        memory = Memory() if memory is None else memory
        generator = torch.Generator().manual_seed(seed)
        if len(prompt) > 1:
            self._read_piece(prompt[:-1], memory, last, cycles)
        token = prompt[-1]
        for _ in range(count):
            logits, segments, confidence = self._read_piece([token], memory, last, cycles, rule)
            token = _chosen(logits[0, -1], temperature, top_k, generator)
            if not token:
                return
            yield Word(token, segments, confidence)

    def _room(self, prompt: Sequence[int], count: int | None) -> int:
        """Return how many tokens to write."""
        held, wrong = self.sizes.tokens, [token for token in prompt if not 0 <= token < self.sizes.vocab]
        if wrong or not len(prompt):
            found = f"has the token {wrong[0]}" if wrong else "is empty"
            raise IncompatibleComponents(f"the prompt {found}: give tokens from 0 to {self.sizes.vocab - 1}")
        room = held - len(prompt) + 1  # the last token that is written need not be read
        if room < 1:
            raise IncompatibleComponents(
                f"the prompt has {len(prompt)} tokens and the model {held} positions: give at most {held}"
            )
        if count is not None and not 1 <= count <= room:
            raise IncompatibleComponents(
                f"count is {count}: give 1 to {room}, for the model has {held} positions and the prompt "
                f"{len(prompt)} tokens"
            )
        return room if count is None else count

    def _read_piece(
        self,
        tokens: Sequence[int],
        memory: Memory,
        last: int,
        cycles: int | None,
        rule: Stopping | None = None,
    ) -> tuple[Tensor, int, float]:
        """Read tokens that come after what is remembered: their logits, `(1, n, V)`, segments, confidence."""
        device = next((weight.device for weight in self.parameters()), torch.device("cpu"))
        asked = torch.tensor([list(tokens)], device=device)
        batch, kept = Batch(asked, asked, asked.new_zeros(1)), None
        with piece_told(self, memory.length, len(tokens)), draw.of_batch(1):
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

    def _require_next_token(self, last: int, cycles: int | None) -> None:
        """Try three tokens together and one by one, which a model that sees what comes after cannot pass."""
        name = type(self.refiner).__name__
        if self.sizes.prefix or self.sizes.features or self.sizes.targets or self.feedback is not None:
            raise IncompatibleComponents(
                "generate writes tokens, and takes no task prefix and no feedback: set model.prefix to 0, "
                "and the supervision to another than Denoising"
            )
        tokens = [token % self.sizes.vocab for token in range(1, min(_TRIED, self.sizes.tokens) + 1)]
        if not self._reads_piecewise(tokens, min(last, 2), cycles):
            raise IncompatibleComponents(
                f"{name} with these cells does not write: a token's answer depends on what comes after it, "
                "or is drawn anew; give it cells such as CausalTransformerCell and a start that is not drawn"
            )

    def _reads_piecewise(self, tokens: Sequence[int], depth: int, cycles: int | None) -> bool:
        """Tell whether tokens that are read one by one get the logits of those that are read together."""
        memory = Memory()
        try:
            whole = self._read_piece(tokens, Memory(), depth, cycles)[0][0]
            parts = [self._read_piece([token], memory, depth, cycles)[0][0] for token in tokens]
        except RuntimeError:  # torch's word for a part that has weights for places, such as MixerCell
            return False
        close = _CLOSE * max(1.0, float(whole.abs().max()))
        return torch.allclose(whole, torch.cat(parts), rtol=0, atol=close)


@contextmanager
def piece_told(model: nn.Module, first: int, count: int) -> Iterator[None]:
    """Make every part of a model take `count` tokens that begin at place `first`, and undo it at the end.

    Args:
        model: A `Recursion`.
        first: Tokens before.
        count: Tokens of the piece.
    """
    parts: list[Any] = [part for part in model.modules() if isinstance(part, Sized) or part is model]
    kept = [part.sizes for part in parts]
    try:
        for part, sizes in zip(parts, kept, strict=True):
            part.sizes, part.offset = sizes._replace(tokens=count, grid=None), first
        yield
    finally:
        for part, sizes in zip(parts, kept, strict=True):
            part.sizes, part.offset = sizes, 0


def _chosen(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """Choose a token by its logits, `(V,)`."""
    logits = logits.float().cpu()
    if not temperature:
        return int(logits.argmax())
    if top_k is not None and top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    return int(torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator))
