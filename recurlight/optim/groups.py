"""Which parameters stand apart: with settings of the optimizer for themselves, or not trained at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import nn

from recurlight.codec.task_table import tables_of
from recurlight.errors import IncompatibleComponents, suggestion

__all__ = [
    "Group",
    "Groups",
    "chosen",
    "freeze",
    "frozen_parts",
    "matched",
    "partition",
    "read_groups",
    "short",
]

SETTING = "model.optimizer_groups"

Groups = Sequence[Mapping[str, Any]]
"""Parameter groups as a file or a program writes them; see `read_groups`."""


class Group(NamedTuple):
    """Parameters that have settings of their own.

    Attributes:
        parts: Names of parts or of parameters, or patterns of these; see `chosen`.
        options: Settings of the optimizer in which they differ from the others, such as `lr`.
        frozen: Whether they are not trained.
    """

    parts: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    frozen: bool = False

    @property
    def name(self) -> str:
        """What messages and logs call it."""
        return ", ".join(self.parts) or "others"


def read_groups(groups: Groups | None) -> list[Group]:
    """Take parameter groups apart, each a dictionary of `parts` and of `frozen` or options of the optimizer.

    Raises:
        IncompatibleComponents: A group names no parts, or says nothing of them.

    Example:
        >>> read_groups([{"parts": ["halting"], "lr": 1e-4}])
        [Group(parts=('halting',), options={'lr': 0.0001}, frozen=False)]
        >>> read_groups([{"parts": ["halting"]}])
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: model.optimizer_groups: [halting] sets nothing: ...
    """
    found = [_group(number, dict(settings)) for number, settings in enumerate(groups or (), 1)]
    if len(frozen := [group for group in found if group.frozen]) > 1:
        names = " and ".join(f"[{group.name}]" for group in frozen)
        raise IncompatibleComponents(f"{SETTING}: {names} are frozen: write them as one group")
    return found


def _group(number: int, settings: dict[str, Any]) -> Group:
    """Take one group apart."""
    parts, frozen = settings.pop("parts", None), settings.pop("frozen", False)
    listed = isinstance(parts, (list, tuple)) and all(isinstance(part, str) for part in parts)
    if not listed or not parts:
        raise IncompatibleComponents(
            f"{SETTING}: group {number} names no parts: give it a list, such as parts: [halting]"
        )
    group = Group(tuple(parts), settings, frozen)
    if not isinstance(frozen, bool):
        raise IncompatibleComponents(f"{SETTING}: [{group.name}] has frozen={frozen!r}: give true or false")
    if frozen and settings:
        raise IncompatibleComponents(
            f"{SETTING}: [{group.name}] is frozen, so that {', '.join(settings)} means nothing: leave it out"
        )
    if not frozen and not settings:
        raise IncompatibleComponents(
            f"{SETTING}: [{group.name}] sets nothing: give it a setting of the optimizer, such as lr, or "
            "frozen: true"
        )
    return group


def frozen_parts(groups: Groups | None) -> list[str]:
    """Return the parts of the group that is frozen."""
    return [part for group in read_groups(groups) if group.frozen for part in group.parts]


def chosen(model: nn.Module, parts: Sequence[str], setting: str = SETTING) -> dict[str, nn.Parameter]:
    """Find the parameters that a list of parts names.

    A part is a module (`halting`, `refiner.latent`), a parameter (`encoder.token`), or a pattern of the names
    of parameters (`*.bias`); with `!` before it, what it names is taken out of what the others name. Names
    are those in the state dict, without the `recursion.` of `RecursiveModule`.

    Args:
        model: Whose parameters they are.
        parts: At least one.
        setting: Named in the messages.

    Returns:
        Parameters by name, in the order of the model.

    Raises:
        IncompatibleComponents: A part names nothing, stands there twice, or takes in a `SparseTable`, which
            no optimizer trains.

    Example:
        >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "halting": nn.Linear(2, 1)})
        >>> list(chosen(model, ["encoder", "*.bias"])), list(chosen(model, ["*", "!halting"]))
        (['encoder.weight', 'encoder.bias', 'halting.bias'], ['encoder.weight', 'encoder.bias'])
    """
    weights = {short(name): weight for name, weight in model.named_parameters(remove_duplicate=False)}
    tables = [short(name) for name in tables_of(model)]
    taken = matched([*weights, *tables], parts, setting)
    for table in (table for table in tables if table in taken):
        raise IncompatibleComponents(
            f"{setting}: [{', '.join(parts)}] takes in {table}, which no optimizer trains: leave it out, "
            f'"!{table}", and set lr and weight_decay of the table itself, lr to 0 to freeze it'
        )
    return {name: weight for name, weight in weights.items() if name in taken}


def matched(names: Sequence[str], parts: Sequence[str], setting: str) -> set[str]:
    """Find the names that a list of parts means; see `chosen`.

    Args:
        names: Dotted names of weights.
        parts: At least one.
        setting: Named in the messages.

    Raises:
        IncompatibleComponents: A part names nothing, or stands there twice.

    Example:
        >>> sorted(matched(["a.b", "a.c", "d"], ["a", "!*.c"], "parts"))
        ['a.b']
    """
    taken, out = set[str](), set[str]()
    for place, part in enumerate(parts):
        found = {name for name in names if _named(name, part.removeprefix("!"))}
        if not found or part in parts[:place]:
            wrong = "stands there twice" if found else f"names nothing of the model{_known(part, names)}"
            raise IncompatibleComponents(f"{setting}: {part!r} {wrong}")
        (out if part.startswith("!") else taken).update(found)
    if not taken - out:
        raise IncompatibleComponents(f"{setting}: [{', '.join(parts)}] names nothing but what it takes out")
    return taken - out


def short(name: str) -> str:
    """Return the name of a weight without the `recursion.` of `RecursiveModule`."""
    return name.removeprefix("recursion.")


def _named(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.") or fnmatchcase(name, part)


def _known(part: str, names: Iterable[str]) -> str:
    """Suggest the part that was meant, or list those that there are."""
    split = [name.split(".") for name in names]
    every = dict.fromkeys(".".join(words[:depth]) for words in split for depth in range(1, len(words) + 1))
    shallow = dict.fromkeys(".".join(words[:2]) for words in split)
    return suggestion(part.removeprefix("!"), every) or f"; there are {', '.join(shallow)}"


def freeze(model: nn.Module, parts: Sequence[str], setting: str = "frozen") -> None:
    """Let parts of a model get no gradient, so that they are neither trained nor decayed.

    Args:
        model: Whose parts they are.
        parts: As in `chosen`; none at all change nothing.
        setting: Named in the messages.

    Raises:
        IncompatibleComponents: A part cannot be told, or nothing is left to train.

    Example:
        >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "halting": nn.Linear(2, 1)})
        >>> freeze(model, ["encoder"])
        >>> [name for name, weight in model.named_parameters() if weight.requires_grad]
        ['halting.weight', 'halting.bias']
    """
    for weight in chosen(model, parts, setting).values() if parts else ():
        weight.requires_grad_(False)
    if parts and not any(weight.requires_grad for weight in model.parameters()):
        raise IncompatibleComponents(f"{setting}: [{', '.join(parts)}] leaves nothing to train: freeze less")


def partition(model: nn.Module, groups: Groups | None) -> list[tuple[Group, list[nn.Parameter]]]:
    """Divide the parameters of a model among groups; what no group names makes up the last one.

    Raises:
        IncompatibleComponents: A parameter stands in two groups, or a part cannot be told.

    Example:
        >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "halting": nn.Linear(2, 1)})
        >>> found = partition(model, [{"parts": ["halting"], "lr": 0.1}])
        >>> [(group.name, len(weights)) for group, weights in found]
        [('halting', 2), ('others', 2)]
    """
    owner: dict[nn.Parameter, Group] = {}
    read = read_groups(groups)
    for group in read:
        for name, weight in chosen(model, group.parts).items():
            other = owner.setdefault(weight, group)
            if other is not group:
                raise IncompatibleComponents(
                    f"{SETTING}: {name} stands in two groups, [{other.name}] and [{group.name}]: take it out "
                    f'of one of them, "!{name}"'
                )
    others = Group()
    divided = ((group, [w for w in model.parameters() if owner.get(w, others) is group]) for group in read)
    rest = [weight for weight in model.parameters() if weight not in owner]
    return [*divided, *([(others, rest)] if rest else [])]
