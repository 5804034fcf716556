"""Global random generators as a function of the place in the run, so that no checkpoint has to hold them."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

__all__ = ["seed_batch"]

_CPU = torch.device("cpu")


def seed_batch(seed: int, batch: int, rank: int = 0, device: torch.device = _CPU) -> None:
    """Seed the global generators of Python, numpy and torch for one training batch.

    `state = hash(seed, batch, rank)`

    recurlight itself draws nothing from them; this is for the cells, losses and callbacks of users, such as
    dropout, whose draws then depend neither on what ran before (a validation, another process) nor on where
    the run was interrupted.

    Args:
        seed: Seed of the run.
        batch: Number of the training batch in the run, counting micro-batches.
        rank: Number of the process: ranks draw apart.
        device: Accelerator whose generator is seeded beside that of the CPU.

    Example:
        >>> seed_batch(0, batch=7)
        >>> first = torch.rand(2)
        >>> seed_batch(0, batch=7)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    digest = hashlib.blake2b(f"{seed} {batch} {rank}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002  # the generator that users' code draws from
    # torch.manual_seed queues a call, with a stack trace, for every kind of device that is not in use
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)
