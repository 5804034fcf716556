"""What the tests of importing share."""

from __future__ import annotations

import torch

from recurlight.__main__ import main

from .reference import TRM_MIXER

SUDOKU = TRM_MIXER._replace(tokens=16, vocab=6, tasks=1, cycles=2, latent_steps=1, layers=1)
"""A mixer for the puzzles of the recipe `tiny`."""


def run(*arguments):
    assert main(["import", *map(str, arguments)]) == 0


def loaded(path):
    return torch.load(path, weights_only=True)


def weights_of(file, *flags):
    """Import a file and return the state dict."""
    run(file, "--output", "made.ckpt", *flags)
    made = loaded("made.ckpt")
    (file.parent.parent / "made.ckpt").unlink()
    return made["state_dict"]


def same(one, other):
    """Compare keys, dtypes and values of state dicts; `torch.equal` alone ignores dtypes."""
    kinds = ({key: value.dtype for key, value in state.items()} for state in (one, other))
    return next(kinds) == next(kinds) and all(torch.equal(one[key], other[key]) for key in one)
