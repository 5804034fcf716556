"""Seeds: which one a run has, and global generators as a function of the place in it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from recurlight.errors import IncompatibleComponents, Unrecordable
from recurlight.spec.recorded import Recorded, arguments, settle

__all__ = ["generators_at", "generators_kept", "seed_batch", "seed_of", "seeded_evaluation"]

_CPU = torch.device("cpu")


def seed_batch(seed: int, batch: int, device: torch.device = _CPU) -> None:
    """Seed the global generators of Python, numpy and torch for one batch, alike on every rank.

    `state = hash(seed, batch)`

    They are for cells, refiners, windows, losses and callbacks that draw, by `recurlight.draw` or otherwise.
    What these draw then depends neither on what ran before (a validation, another process) nor on where the
    run was interrupted.

    Args:
        seed: Seed of the run.
        batch: Number of the training batch in the run, counting micro-batches; those of evaluation are
            counted from -1 downwards.
        device: Accelerator whose generator is seeded beside that of the CPU.

    Example:
        >>> seed_batch(0, batch=7)
        >>> first = torch.rand(2)
        >>> seed_batch(0, batch=7)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    text = f"{seed} {batch} 0"  # of one rank, where older versions had a seed for each
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002  # the generator that users' code draws from
    # torch.manual_seed queues a call, with a stack trace, for every kind of device that is not in use
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)


def generators_at(device: torch.device = _CPU) -> tuple[object, ...]:
    """Return where the global generators are, to compare: it is another place once something is drawn.

    Args:
        device: Accelerator whose generator is looked at beside those of the CPU.

    Example:
        >>> before = generators_at()
        >>> generators_at() == before, bool(torch.rand(())), generators_at() == before
        (True, True, False)
    """
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    drawn = tuple(state.numpy().tobytes() for state in states)
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest, *drawn


@contextmanager
def generators_kept(device: torch.device = _CPU) -> Iterator[None]:
    """Give the global generators back as they were, whatever is drawn inside.

    Args:
        device: Accelerator whose generator is kept beside those of the CPU.

    Example:
        >>> before = torch.get_rng_state()
        >>> with generators_kept():
        ...     _ = torch.rand(2)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    theirs = None if accelerator is None else accelerator.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if accelerator is not None:
            accelerator.set_rng_state(theirs)


@contextmanager
def seeded_evaluation(seed: int, batch: int, device: torch.device = _CPU) -> Iterator[None]:
    """Seed the global generators for one batch of an evaluation, and give them back as they were.

    Evaluations of the same weights then draw the same, and what comes after does not depend on them.

    Args:
        seed: Seed of the evaluation.
        batch: Number of the batch in the split.
        device: Accelerator whose generator is seeded beside that of the CPU.
    """
    with generators_kept(device):
        seed_batch(seed, -1 - batch, device)
        yield


def seed_of(made: Recorded, seed: int | None) -> int:
    """Return the seed of what is being made: the given one, or else that of `lightning.seed_everything`.

    It is recorded, so that a checkpoint tells it and what is made from the checkpoint has it. A class whose
    constructor takes no seed has 0, for nothing could record another; one that takes a seed and does not pass
    it on has that one.

    Args:
        made: The model or data module.
        seed: As its constructor got it.

    Raises:
        IncompatibleComponents: The common seed, which the environment holds, is no number.

    Example:
        >>> from lightning import seed_everything
        >>> from recurlight import SudokuData
        >>> _ = seed_everything(3, verbose=False)
        >>> SudokuData().seed, SudokuData(seed=5).seed
        (3, 5)
        >>> _ = seed_everything(0, verbose=False)
    """
    seed = _not_passed_on(made) if seed is None else seed
    if seed is not None:
        return seed
    common = os.environ.get("PL_GLOBAL_SEED", "0")  # where `seed_everything` keeps it
    if not common.isdecimal():
        raise IncompatibleComponents(f"PL_GLOBAL_SEED is {common!r}: set it to a whole number, 0 or more")
    settled: int = settle(made, "seed", int(common), otherwise=0)
    return settled


def _not_passed_on(made: Recorded) -> int | None:
    """Return the seed that the constructor of the class itself got, be it among settings that it keeps."""
    try:
        seed = arguments(made).get("seed")
    except Unrecordable:  # nothing is recorded that could differ
        return None
    return seed if isinstance(seed, int) else None
