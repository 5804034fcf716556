"""Measure what the ways to remember a text cost, in bits per byte, in bytes of memory and in time.

    python benchmarks/generation.py --ckpt_path last.ckpt --windows 32
    python benchmarks/generation.py --ckpt_path last.ckpt --windows 4 --patience 1 2

The first windows of the checkpoint's test split are read, by a model that is alone with one window at a time.
`at once` reads a window in one pass, as training does. The others read it token by token: with the keys and
values of every segment, with those of the last alone, and with tokens that stop once their likeliest next
token has stayed the same for so many segments. `anew` reads all that was before again for each token.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

import recurlight as rl


class Row(NamedTuple):
    """One row of the table."""

    way: str
    bits: float
    segments: float
    stored: float
    per_second: float


class Texts(NamedTuple):
    """Windows, the token after each of theirs, `(W, L)` each, and the bytes of all of these tokens."""

    inputs: Tensor
    labels: Tensor
    bytes: int


def windows(path: str, count: int) -> Texts:
    """Return the first windows of a checkpoint's test split."""
    data = rl.PuzzleData.load_from_checkpoint(path, eval_batch_size=count)
    data.prepare_data()
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    return Texts(batch.inputs, batch.labels, int(data.task_metric("test").bytes_of[batch.labels].sum()))


def token_by_token(
    recursion: rl.Recursion, text: Tensor, segments: int, rule: rl.Stopping | None = None, last: bool = False
) -> tuple[Tensor, int, float]:
    """Read one text token by token.

    Args:
        recursion: A causal model.
        text: `(L,)` int64.
        segments: Most segments of a token.
        rule: When a token stops; None for never.
        last: See `Memory`.

    Returns:
        Logits, `(L, V)`; segments of all tokens together; bytes that are kept for each token.
    """
    memory, spent, parts = rl.Memory(last), 0, []
    for token in text.tolist():
        logits, count, _ = recursion._read_piece([token], memory, segments, recursion.cycles, rule)
        parts.append(logits[0])
        spent += count
    return torch.cat(parts), spent, memory.bytes / memory.length


def at_once(recursion: rl.Recursion, text: Tensor, segments: int) -> tuple[Tensor, int, float]:
    """Read one text in a pass."""
    logits = recursion._read_piece(text.tolist(), rl.Memory(), segments, recursion.cycles)[0][0]
    return logits, segments * len(text), 0


def anew(recursion: rl.Recursion, text: Tensor, segments: int) -> tuple[Tensor, int, float]:
    """Read all that was before again for each token."""
    parts = [at_once(recursion, text[:end], segments)[0][-1] for end in range(1, len(text) + 1)]
    return torch.stack(parts), segments * len(text), 0


def measured(way: str, read: Callable[[Tensor], tuple[Tensor, int, float]], texts: Texts) -> Row:
    """Read all windows in one way."""
    bits, spent, stored, begin = 0.0, 0, 0.0, time.process_time()
    for text, labels in zip(texts.inputs, texts.labels, strict=True):
        logits, count, stored = read(text)
        bits += functional.cross_entropy(logits, labels, reduction="sum").item() / math.log(2)
        spent += count
    seconds, tokens = time.process_time() - begin, texts.inputs.numel()
    return Row(way, bits / texts.bytes, spent / tokens, stored, tokens / seconds)


def rows(recursion: rl.Recursion, texts: Texts, segments: int, patience: Sequence[int]) -> Iterator[Row]:
    """Measure every way."""
    fewer = [2**power for power in range(segments.bit_length()) if 2**power < segments]
    whole, single = partial(at_once, recursion), partial(token_by_token, recursion, segments=segments)
    ways: dict[str, Callable[[Tensor], tuple[Tensor, int, float]]] = {
        **{f"at once, {count} segments": partial(whole, segments=count) for count in fewer},
        "at once": partial(whole, segments=segments),
        "anew for each token": partial(anew, recursion, segments=segments),
        "every segment's keys": single,
        "the last segment's": partial(single, last=True),
    }
    for times in patience:
        rule, name = rl.StableAnswer(times), f"stop after {times} without change"
        ways[name] = partial(single, rule=rule)
        ways[f"{name}, the last segment's"] = partial(single, rule=rule, last=True)
    for way, read in ways.items():
        yield measured(way, read, texts)


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ckpt_path", required=True)
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--segments", type=int, help="most segments of a token; the checkpoint's number")
    parser.add_argument("--patience", type=int, nargs="*", default=[1, 2], help="segments without a change")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    solver = rl.load(options.ckpt_path)
    segments = options.segments or solver.evaluation.get("max_segments") or solver.recursion.max_segments
    print("| read | bits per byte | segments a token | bytes a token | tokens a second |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows(
        solver.recursion, windows(options.ckpt_path, options.windows), segments, options.patience
    ):
        figures = f"{row.bits:.4f} | {row.segments:.2f} | {row.stored:,.0f} | {row.per_second:,.0f}"
        print(f"| {row.way} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
