"""Entries of a reasoning-gym task, made in a process of its own: a request comes in, entries go out.

It needs the standard library and reasoning_gym. What a task prints, and what it draws from global generators,
stays in that process; and since its hashes of texts are always the same, so are the tasks that depend on
them.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any

_PATIENCE = 64
"""So many times as many entries as are wanted are tried, before a task is taken to have no more."""


def deal(
    make: Callable[..., Any], seed: int, count: int, taken: set[str], once: bool
) -> list[dict[str, Any]]:
    """Return entries whose questions are not taken, as many as wanted where so many are found.

    Args:
        make: Makes the data set of a `seed` and a `size`.
        seed: Of the part.
        count: Entries wanted.
        taken: Questions of other parts; those of this one are added, if each may come once only.
        once: Leave out questions that come again in this part.
    """
    found: list[dict[str, Any]] = []
    number, size = 0, 0
    while len(found) < count and number < _PATIENCE * (count + _PATIENCE):
        if number == size:  # some tasks take no size beyond what they need
            size = 4 * size or count + _PATIENCE
            dataset = make(seed=seed, size=size)
        entry = dataset[number]
        number += 1
        if entry["question"] not in taken:
            found.append(entry)
            taken |= {entry["question"]} if once else set()
    return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of every part, or what kept them from being made."""
    try:
        import reasoning_gym  # type: ignore[import-not-found,import-untyped,unused-ignore]
        from reasoning_gym.factory import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
            DATASETS,
        )
    except ImportError as error:
        return {"missing": str(error)}
    task, config = request["task"], request["config"]
    if task not in DATASETS:
        return {"tasks": sorted(DATASETS)}
    known = {field.name for field in dataclasses.fields(DATASETS[task][1])} - {"seed", "size"}
    if not config.keys() <= known:
        return {"unknown": sorted(config.keys() - known)[0], "known": sorted(known)}
    random.seed(0)  # of the few tasks that draw from it
    taken: set[str] = set()
    try:
        reasoning_gym.create_dataset(task, **config, seed=0, size=1)
        parts = {
            name: deal(
                lambda **more: reasoning_gym.create_dataset(task, **config, **more), seed, count, taken, once
            )
            for name, seed, count, once in request["parts"]
        }
        return {"parts": pickle.dumps(parts)}
    except Exception as error:  # the library's own words, of any class
        return {"failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.path[:] = asked["path"]
    out, sys.stdout = sys.stdout, sys.stderr
    out.buffer.write(pickle.dumps(answer(asked)))
    out.flush()
