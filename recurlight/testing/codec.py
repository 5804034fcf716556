"""Checks of an encoder and of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from recurlight.cells import MixerCell
from recurlight.codec.base import Decoder, Encoder
from recurlight.halting import CorrectnessHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner
from recurlight.testing.refiner import CHECKS as REFINER_CHECKS
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import Make, questions, require_drawn_by_seed, rows_apart
from recurlight.truncation import EveryUpdate
from recurlight.types import Batch, Sizes

__all__ = ["check_decoder", "check_encoder"]

SIZES = Sizes(vocab=6, tokens=12, width=32, prefix=2, tasks=3)
FIELDS = SIZES._replace(vocab=0, features=2, targets=1)
SHARED = ("randomness", "gradients", "checkpoint", "resume", "copy")


def check_encoder(
    build: Callable[[], Encoder],
    *,
    sizes: Sizes | None = None,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check an encoder of yours by what recurlight promises of its own, in a few seconds on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `Recursion` accepts it |
    | `question` | every token of a question, or what is in its place, has a part in its injection |
    | `rows` | no row changes when other rows are left out |
    | `weights` | its weights are drawn from the generator that `build` gets, and nowhere else |

    and `randomness`, `gradients`, `checkpoint`, `resume` and `copy` as in `check_refiner`.

    Args:
        build: Makes a new encoder: a class, or a function without arguments.
        sizes: Sizes of the task, for encoders that need their own; None for a tiny task of tokens, or of
            numbers where the encoder is for these.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import TokenEncoder
        >>> check_encoder(TokenEncoder)["question"]
    """

    def make(seed: int = 0) -> Recursion:
        encoder = build()
        return _composed(sizes or (FIELDS if encoder.numbers else SIZES), seed, encoder=encoder)

    checks = {
        "composes": partial(_composes, build, make, "encoder"),
        "question": partial(_question, make),
        "rows": partial(_encoder_rows, make),
        "weights": partial(require_drawn_by_seed, make, lambda recursion: recursion.encoder),
    }
    return run("the encoder", checks | _shared(make), exclude, raises)


def check_decoder(
    build: Callable[[], Decoder],
    *,
    sizes: Sizes = SIZES,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a decoder of yours by what recurlight promises of its own, in a few seconds on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `Recursion` accepts it |
    | `precision` | what it reads out is float32 whatever the activations, float64 for a float64 model |
    | `answer` | every token of the answer has a part in what is read out |
    | `rows` | no row changes when other rows are left out |
    | `weights` | its weights are drawn from the generator that `build` gets, and nowhere else |

    and `randomness`, `gradients`, `checkpoint`, `resume` and `copy` as in `check_refiner`.

    Args:
        build: Makes a new decoder: a class, or a function without arguments.
        sizes: Sizes of the task, for decoders that need their own, and with `targets` for those of numbers.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import TokenDecoder
        >>> check_decoder(TokenDecoder)["precision"]
    """

    def make(seed: int = 0) -> Recursion:
        return _composed(sizes, seed, decoder=build())

    checks = {
        "composes": partial(_composes, build, make, "decoder"),
        "precision": partial(_precision, make),
        "answer": partial(_answer, make),
        "rows": partial(_decoder_rows, make),
        "weights": partial(require_drawn_by_seed, make, lambda recursion: recursion.decoder),
    }
    return run("the decoder", checks | _shared(make), exclude, raises)


def _composed(
    sizes: Sizes, seed: int, encoder: Encoder | None = None, decoder: Decoder | None = None
) -> Recursion:
    refiner = SingleRefiner(MixerCell(1, multiple=32))
    halting = CorrectnessHalting()
    return Recursion(
        sizes, refiner, EveryUpdate(), halting, encoder, decoder, cycles=2, max_segments=3, seed=seed
    )


def _shared(make: Make) -> dict[str, Callable[[], None]]:
    """Checks of the whole composition, which say the same of any part."""
    return {name: partial(REFINER_CHECKS[name], make) for name in SHARED}


def _composes(build: Callable[[], object], make: Make, kind: str) -> None:
    expect(build() is not build(), f"give a function that makes a new {kind} at every call, not the same one")
    make()


def _question(make: Make) -> None:
    recursion = make()
    batch = questions(recursion.sizes)
    with torch.no_grad():
        before = recursion.encoder(batch.inputs, batch.task)
        for token in range(recursion.sizes.tokens):
            inputs = batch.inputs.clone()
            now = inputs[:, token]
            numbers = recursion.sizes.features
            inputs[:, token] = now + 1 if numbers else now % (recursion.sizes.vocab - 1) + 1
            after = recursion.encoder(inputs, batch.task)
            same = (after == before).flatten(1).all(1)
            expect(
                not same.any(),
                f"another token number {token} changes nothing: let every token have a part in the injection",
            )


def _encoder_rows(make: Make) -> None:
    recursion = make().double()
    batch, other = (questions(recursion.sizes, seed=seed) for seed in range(2))

    def encoded(asked: Batch) -> Tensor:
        with torch.no_grad():
            found: Tensor = recursion.encoder(asked.inputs, asked.task)
        return found

    expect(
        rows_apart(encoded, batch, other), "rows change when other rows are left out: encode each row alone"
    )


def _states(recursion: Recursion, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, recursion.sizes.positions, recursion.sizes.width, generator=generator)


def _precision(make: Make) -> None:
    recursion = make()
    with torch.no_grad():
        for dtype in (torch.bfloat16, torch.float32, torch.float64):
            wanted = torch.float64 if dtype == torch.float64 else torch.float32
            decoder = recursion.decoder.to(wanted)
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                found = decoder(_states(recursion).to(dtype))
            expect(
                found.dtype == wanted,
                f"an answer in {dtype} is read out in {found.dtype}: make it {wanted}, computed outside of "
                "autocast, as recurlight.numerics.full_precision does",
            )


def _answer(make: Make) -> None:
    recursion = make()
    states = _states(recursion)
    with torch.no_grad():
        before = recursion.decoder(states)
        for token in range(recursion.sizes.tokens):
            changed = states.clone()
            changed[:, recursion.sizes.prefix + token] += 1
            expect(
                not torch.equal(recursion.decoder(changed)[:, token], before[:, token]),
                f"token number {token} of the answer has no part in its read-out: drop the prefix positions "
                "alone, the first P of N",
            )


def _decoder_rows(make: Make) -> None:
    recursion = make().double()

    def read(states: tuple[Tensor]) -> Tensor:
        with torch.no_grad():
            found: Tensor = recursion.decoder(states[0])
        return found

    whole, other = ((_states(recursion, seed).double(),) for seed in range(2))
    expect(rows_apart(read, whole, other), "rows change when other rows are left out: read each row alone")
