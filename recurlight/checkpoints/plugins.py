"""Parts of installed packages: classes that they offer in their metadata, which is read without an import.

In the `pyproject.toml` of the package, the name being that of the class:

    [project.entry-points."recurlight.parts"]
    SlowRefiner = "recurlight_slow.refiner:SlowRefiner"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from recurlight.errors import UntrustedCode

__all__ = ["GROUP", "find_offer", "offered_names", "offers"]

GROUP = "recurlight.parts"
"""Where packages name their parts."""


def offered_names() -> list[str]:
    """Return the bare names of the classes that installed packages offer."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def offers() -> list[tuple[str, EntryPoint]]:
    """Return what installed packages offer, with the name and version of each; nothing is imported."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [(f"{entry.dist.name} {entry.dist.version}" if entry.dist else "?", entry) for entry in entries]


def find_offer(path: str) -> EntryPoint | None:
    """Return the entry of a class that an installed package offers; None where there is none.

    Args:
        path: Its bare name, or a dotted path of that name in the same package, under which the package may
            have the class too.

    Raises:
        UntrustedCode: Two packages offer a class of this bare name, or an entry has another name than its
            class, so that nobody would find it again.

    Example:
        >>> find_offer("torch.nn.Linear") is None
        True
    """
    root, dot, _ = path.partition(".")
    name = path.rpartition(".")[2]
    found = [entry for entry in entry_points(group=GROUP, name=name) if not dot or _root(entry) == root]
    if len({entry.value for entry in found}) > 1:
        ways = " or ".join(sorted(f"{entry.module}.{entry.attr}" for entry in found))
        raise UntrustedCode(f"several installed packages offer {name}: give its path, {ways}")
    if found and found[0].attr != name:
        raise UntrustedCode(f"an installed package offers {found[0].value} as {name}: both must be one name")
    return found[0] if found else None


def _root(entry: EntryPoint) -> str:
    return entry.module.partition(".")[0]
