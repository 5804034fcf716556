"""A trained model that answers questions."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from recurlight.cells.memory import Memory
from recurlight.checkpoints.contents import made_with
from recurlight.checkpoints.trust import Trust
from recurlight.draw.seeding import seeded_evaluation
from recurlight.errors import CheckpointMismatch, DataError, IncompatibleComponents, UntrustedCode
from recurlight.halting.base import judges
from recurlight.losses import SequenceLoss, SoftmaxCrossEntropy, StablemaxCrossEntropy
from recurlight.recursion.driver import Recursion
from recurlight.recursion.generation import Word
from recurlight.recursion.load import read_checkpoint, recursion_of
from recurlight.rendering.wording import Wording
from recurlight.solving.answer import Answer, Piece
from recurlight.solving.questions import as_questions, as_tasks
from recurlight.solving.task import Task, task_of
from recurlight.spec import from_spec
from recurlight.spec.given import checked, within
from recurlight.types import IGNORE, Batch, Prediction

if TYPE_CHECKING:
    from recurlight.solving.bundle import Written

__all__ = ["Solver", "load"]

_TURNS = threading.Lock()
"""Held while a batch is answered or a token written: parts are told what comes, and generators are seeded."""


@final
class Solver:
    """A trained model that answers questions, as `recurlight predict` answers them; `load` makes it.

    Questions are texts in the symbols of the task, as many as you like, or tensors, arrays or lists of
    tokens. Nothing is trained, and nothing is drawn from global random state; a model that draws, such as one
    with noise, draws other numbers than under predict, which has other batches. Calls from several threads
    take turns.

    Args:
        recursion: The driver, in evaluation mode.
        evaluation: Arguments of `Recursion.solve`, with which it answers.
        task: How questions are written and answers judged.
        loss: Makes the loss by which it learnt, asked where a text is drawn.

    Example:
        >>> from recurlight import FixedHalting, EveryUpdate, MixerCell, SingleRefiner, Sizes, Wording
        >>> parts = SingleRefiner(MixerCell(layers=1)), EveryUpdate(), FixedHalting()
        >>> recursion = Recursion(Sizes(6, 4, 32), *parts, cycles=1, max_segments=2).eval()
        >>> wording = Wording((2, 2), (" ", ".", "1", "2", "3", "4"), unasked=(0,))
        >>> solver = Solver(recursion, {}, Task(wording, rules=None))
        >>> answers = solver.solve(["1..2", "4..3"])
        >>> [answer.segments for answer in answers], answers[0].tokens.shape
        ([2, 2], torch.Size([4]))
    """

    def __init__(
        self,
        recursion: Recursion,
        evaluation: dict[str, Any],
        task: Task,
        loss: Callable[[], SequenceLoss] = SoftmaxCrossEntropy,
    ) -> None:
        self.recursion, self.evaluation, self.task, self.loss = recursion, evaluation, task, loss

    def read(self, text: str) -> Tensor:
        """Turn a text into a question, `(1, L)` tokens, that `solve` takes.

        Raises:
            DataError: It is no question; with what is wrong and what is wanted.
        """
        return as_questions(text, self.recursion.sizes, self.task)

    @checked
    @torch.no_grad()
    def generate(
        self,
        prompt: str,
        count: int | None = None,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        seed: int = 0,
        segments: int | None = None,
        last: bool = False,
    ) -> Iterator[Piece]:
        """Write on from a text, token by token; see `Recursion.generate`.

        Args:
            prompt: A text in the symbols of the training text.
            count: Tokens to write at most; None for as many as the model's positions hold.
            temperature: 0 for the likeliest token, 1 for the model's own probabilities.
            top_k: Draw from the likeliest `top_k` tokens alone, at a temperature above 0; None for all.
            seed: Of the draws.
            segments: Segments to spend on a token at most; None for as many as the checkpoint says.
            last: Let every segment see the last segment of the tokens before, see `Memory`.

        Yields:
            What is to be appended to the prompt, and the segments that it took. Bytes that are no UTF-8, as a
            character that the end of the text cuts off, are shown as �.

        Raises:
            DataError: The model was not trained on text, or the prompt is empty or has a character that it
                does not know.
            IncompatibleComponents: The prompt is too long, or the model does not write.
        """
        wording = self.task.wording
        if wording is None or wording.verbatim is None:
            raise DataError(
                "the model was not trained on running text: train one on TextData, or use 'solve'"
            )
        settings = self.evaluation | ({} if segments is None else {"max_segments": segments})
        settings |= {"temperature": temperature, "top_k": top_k, "seed": seed}
        settings |= {"loss": self.loss()} if temperature else {}
        tokens, behind = wording.prompt(prompt)
        if not tokens:
            raise DataError("the prompt is empty: give how the text begins, a character or more")
        words = self.recursion.generate(tokens, count, **settings, memory=Memory(last))
        yield from _pieces(
            iter(partial(_in_turn, words), None), wording, behind, judges(self.recursion.halting)
        )

    @checked
    @torch.no_grad()
    def solve(
        self,
        questions: str | Sequence[Any] | Tensor | Any,
        segments: int | None = None,
        task: int | Sequence[int] | Tensor | None = None,
        batch_size: int = 256,
    ) -> list[Answer]:
        """Answer questions, each until the stopping rule of the checkpoint says that it is settled.

        Args:
            questions: A text or several; or tokens, `(L,)` or `(B, L)`; or numbers, `(B, L, F)`.
            segments: Segments to spend at most; None for as many as the checkpoint says.
            task: Number of the task, one for all or one for each; only for models that tell tasks apart.
            batch_size: Questions that are answered together at most.

        Returns:
            One answer for each question, in their order.

        Raises:
            DataError: A question cannot be asked; with its number and what is wanted.
        """
        within("solve", "batch_size", batch_size, 1)
        if segments is not None:
            within("solve", "segments", segments, 1)
        inputs = as_questions(questions, self.recursion.sizes, self.task)
        tasks = as_tasks(task, len(inputs), self.recursion.sizes)
        settings = self.evaluation | ({} if segments is None else {"max_segments": segments})
        found: list[Answer] = []
        for number, at in enumerate(range(0, len(inputs), batch_size)):
            part = inputs[at : at + batch_size], tasks[at : at + batch_size]
            found += self._answers(part[0], self._predicted(*part, number, settings))
        return found

    @checked
    def export(self, folder: str | Path, segments: int | None = None) -> Written:
        """Write the model into a new folder as programs that run without recurlight; see `write_bundle`.

        Args:
            folder: Must not exist.
            segments: Segments that the solver runs for every question; None for as many as the checkpoint
                says.
        """
        from recurlight.solving.bundle import write_bundle

        cap = self.evaluation.get("max_segments") or self.recursion.max_segments
        cycles = self.evaluation.get("cycles") or self.recursion.cycles
        return write_bundle(self.recursion, self.task, folder, cap if segments is None else segments, cycles)

    def _predicted(self, inputs: Tensor, tasks: Tensor, number: int, settings: dict[str, Any]) -> Prediction:
        """Answer one batch on the device of the weights."""
        sizes, weight = self.recursion.sizes, next(self.recursion.parameters())
        shape = inputs.shape[:2]
        labels = (
            torch.full((*shape, sizes.targets), torch.nan) if sizes.targets else torch.full(shape, IGNORE)
        )
        batch = Batch(*(field.to(weight.device) for field in (inputs, labels, tasks)))
        with _TURNS, seeded_evaluation(self.recursion.seed, number, weight.device):
            return self.recursion.solve(batch, **settings)

    def _answers(self, inputs: Tensor, found: Prediction) -> Iterator[Answer]:
        """Say what was answered, row by row."""
        wording, rules = self.task[:2]
        logits = found.logits.float().cpu()
        raw = logits if self.recursion.sizes.targets else logits.argmax(dim=-1)
        shown = raw if wording is None else wording.answer(inputs, raw)
        holds = [None] * len(raw) if rules is None else rules.holds(inputs, raw).tolist()
        sure = found.confidence.tolist() if judges(self.recursion.halting) else [None] * len(raw)
        rows = zip(inputs, shown, found.segments.tolist(), sure, holds, strict=True)
        for question, tokens, segments, confidence, kept in rows:
            text = None if wording is None else wording.write(tokens.tolist())
            yield Answer(question, tokens, text, segments, confidence, kept, wording)


@checked
def load(path: str | Path, device: str = "cpu", trust: Sequence[str] = ()) -> Solver:
    """Load a trained model to answer questions; Lightning is not imported.

    No code is read from the file, and the classes that it names must be recurlight's or torch's, those of
    your program or of the current folder, or of a package that you trust.

    Args:
        path: A checkpoint, trained or imported.
        device: Where it answers, such as `cpu` or `cuda`.
        trust: Packages whose classes the checkpoint may name as well.

    Raises:
        CheckpointError: There is no such file, or it was cut off or changed.
        UntrustedCode: The file holds Python objects, or names code that it may not import.
        CheckpointMismatch: It is of a newer version, or its model is made of other settings.

    Example:
        >>> load("last.ckpt").solve("12..34..")
        Traceback (most recent call last):
        recurlight.errors.CheckpointError: last.ckpt: there is no such file; name the file of a checkpoint
    """
    _require_device(device)
    checkpoint = read_checkpoint(path, device)
    recursion, evaluation = recursion_of(checkpoint, path, device, trust)
    try:
        task = task_of(checkpoint, trust)
    except (CheckpointMismatch, UntrustedCode) as error:
        raise type(error)(f"{path}: {error}") from error
    return Solver(recursion, evaluation, task, partial(_loss, made_with(checkpoint).get("loss"), trust))


def _loss(made: Any, trust: Sequence[str]) -> SequenceLoss:
    """Make the loss of a checkpoint, of tokens; what `RecursiveModule` takes where none was named."""
    loss: SequenceLoss = from_spec(made, Trust(trust)) if made else StablemaxCrossEntropy()
    return loss


def _pieces(words: Iterator[Word], wording: Wording, behind: str, judged: bool) -> Iterator[Piece]:
    """Say tokens as text; one that ends amid a character waits for the next, and for nothing at the end."""
    decoder, waiting = codecs.getincrementaldecoder("utf-8")("replace"), list[Piece]()
    for word in words:
        yield from waiting
        text = wording.texts[word.token]
        if wording.verbatim == "bytes":
            text = decoder.decode(text.encode("latin-1"))
        waiting = [Piece(behind + text, word.segments, word.confidence if judged else None)]
        behind = ""
        if not decoder.getstate()[0]:
            yield waiting.pop()
    for piece in waiting:
        yield piece._replace(text=piece.text + decoder.decode(b"", final=True))


def _in_turn(words: Iterator[Word]) -> Word | None:
    """Return the next token when no other thread is at a model, None after the last."""
    with _TURNS:
        return next(words, None)


def _require_device(device: str) -> None:
    """Refuse a device that is not there, before weights are moved to it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for one
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise IncompatibleComponents(
            f"device is {device!r}, which is not there ({reason}): give cpu"
        ) from None
