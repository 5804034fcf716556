"""Which sets of weights a file holds, whatever it calls them, and which of them is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from recurlight.interop.errors import PublishedError

__all__ = ["Found", "published_name", "unwrap"]

ROOT = re.compile(r"(?:(?:module|model)\.)*(inner|recursion)\.")
"""How names begin, of published models and of ours, whatever wraps the model."""

AVERAGES = {"ema", "swa", "avg", "average", "averages", "averaged", "averaging", "shadow", "polyak"}
"""Words by which files call averaged weights."""

COUNTER = "n_averaged"
"""What torch's `AveragedModel` keeps beside the weights."""

DEPTH = 3
"""Dictionaries inside each other that are searched."""

Keys = tuple[str, ...]
Weights = dict[str, Any]


class Found(NamedTuple):
    """The weights that are taken."""

    weights: Weights
    """By published name."""
    left_out: list[str]
    """Entries of the file that are not."""


def published_name(key: str) -> str:
    """Return a weight's name without what compiling, distributing and averaging put before it.

    Example:
        >>> published_name("_orig_mod.module.model.inner.H_init"), published_name("step")
        ('model.inner.H_init', 'step')
    """
    bare = key.replace("_orig_mod.", "")
    root = ROOT.match(bare)
    if root is None:
        return bare
    return ("model." if root[1] == "inner" else "") + bare[root.start(1) :]


def unwrap(content: Mapping[str, Any], path: str, choice: str | None) -> Found:
    """Choose one set of weights; all dictionaries in a file are looked at, not some names.

    Args:
        content: What the file holds.
        path: Its path.
        choice: `plain` or `averaged`; None where there is one set alone.

    Raises:
        PublishedError: There are several sets to choose from, or none of those asked for.
    """
    if _is_state(content):  # nothing around the weights, though averages may stand among them
        inside = {key: value for key, value in content.items() if isinstance(value, Mapping)}
        content = {"": {key: value for key, value in content.items() if key not in inside}, **inside}
    sets = {keys: _renamed(node, path) for keys, node in _states(content)}
    if any(key.startswith("recursion.") for state in sets.values() for key in state):
        raise PublishedError(f"{path} is recurlight's own checkpoint: use it as it is, --ckpt_path {path}")
    averages = {keys: state for keys, state in sets.items() if _averaged(keys)}
    plain = {keys: state for keys, state in sets.items() if keys not in averages}
    if not sets:
        return Found(_renamed(content, path), [])
    nameless = [key for key in content if _averaged([key]) and key not in {keys[0] for keys in averages}]
    _check_choice(path, choice, plain, averages, [key for key in nameless if _holds_tensors(content[key])])
    wanted = averages if choice == "averaged" or not plain else {}
    under, over = _only(path, plain), _only(path, wanted)  # buffers have no averages
    unknown = sorted(over.keys() - under.keys()) if plain else []
    if unknown:
        raise PublishedError(
            f"{path} has averages of '{unknown[0]}', which is no weight: use --weights plain"
        )
    roots = {keys[0] for keys in (*plain, *wanted)}
    return Found(under | over, [key for key in content if key not in roots])


def _is_state(node: Mapping[Any, Any]) -> bool:
    """Return whether a dictionary holds the weights of a model."""
    return any(
        isinstance(value, Tensor) and ROOT.match(str(key).replace("_orig_mod.", ""))
        for key, value in node.items()
    )


def _states(node: Mapping[Any, Any], keys: Keys = ()) -> Iterator[tuple[Keys, Mapping[Any, Any]]]:
    """Iterate over the dictionaries that hold weights, with the keys that lead to them."""
    if _is_state(node):
        yield keys, node
    for key, inner in node.items():
        if isinstance(inner, Mapping) and len(keys) < DEPTH:
            yield from _states(inner, (*keys, str(key)))


def _renamed(node: Mapping[Any, Any], path: str) -> Weights:
    """Return weights by their published names; what is no tensor stays, for others to refuse."""
    state: Weights = {}
    for key, value in node.items():
        name = published_name(str(key))
        if name in state:
            raise PublishedError(f"{path} holds {name} twice, with other words before it: save it once")
        state[name] = value
    state.pop(COUNTER, None)
    return state


def _averaged(keys: Sequence[str]) -> bool:
    """Return whether the keys that lead to weights call them averages."""
    return any(AVERAGES & set(re.split(r"[^a-z]+", key.lower())) for key in keys)


def _holds_tensors(node: Any) -> bool:
    inner = node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ()
    return isinstance(node, Tensor) or any(_holds_tensors(value) for value in inner)


def _check_choice(
    path: str,
    choice: str | None,
    plain: Mapping[Keys, Weights],
    averages: Mapping[Keys, Weights],
    nameless: Sequence[str],
) -> None:
    """Insist that there is what is asked for, and that it is asked for where there is more than one."""
    if choice == "averaged" and not averages:
        what = f"'{nameless[0]}' without names of weights" if nameless else "no averages beside its weights"
        raise PublishedError(f"{path} holds {what}: leave out --weights averaged")
    if choice == "plain" and not plain:
        raise PublishedError(f"{path} holds averages alone: leave out --weights plain")
    if choice is None and plain and averages:
        raise PublishedError(
            f"{path} holds weights and their averages: add --weights averaged, which published evaluation "
            "runs, or --weights plain"
        )
    if choice is None and plain and nameless:
        raise PublishedError(
            f"{path} holds '{nameless[0]}' beside its weights, averages without names of weights: add "
            "--weights plain, or save them by name"
        )


def _only(path: str, sets: Mapping[Keys, Weights]) -> Weights:
    """Return the one set that there is; an empty one where there is none."""
    if len(sets) > 1:
        names = ", ".join(".".join(keys) or "its own" for keys in sets)
        raise PublishedError(
            f"{path} holds several sets of weights, {names}: save the one to import alone, with torch.save"
        )
    return next(iter(sets.values()), {})
