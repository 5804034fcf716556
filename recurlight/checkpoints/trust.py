"""Which code a file may name: importing a module runs it, so a stranger's file must not choose freely."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recurlight.checkpoints.plugins import find_offer
from recurlight.errors import CheckpointMismatch, UntrustedCode, suggestion
from recurlight.spec.names import import_path

__all__ = ["LIBRARIES", "Trust", "is_own", "refusal", "under"]

PLATEAU = "lightning.pytorch.cli.ReduceLROnPlateau"
LIBRARIES = ("recurlight", "torch.nn", "torch._C._nn", "torch.optim", PLATEAU)
"""Packages whose classes every file may name; the third holds functions of `torch.nn.functional`."""


def under(path: str, packages: Iterable[str]) -> bool:
    """Return whether a dotted path lies in one of some packages.

    Example:
        >>> under("torch.nn.Linear", ["torch.nn"]), under("torch.nnx.Linear", ["torch.nn"])
        (True, False)
    """
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def is_own(path: str) -> bool:
    """Return whether a name is of the user's own code, without importing anything.

    That is what lies in the current folder or below, and what the program has imported already, unless it
    comes from an installed package.
    """
    if not all(part.isidentifier() for part in path.split(".")):
        return False
    package, (module, _, name) = path.partition(".")[0], path.rpartition(".")
    if package == "__main__":
        return name in vars(sys.modules["__main__"])
    places = _places(package)
    near = module in sys.modules or all(
        Path(place).parent.resolve().is_relative_to(Path.cwd()) for place in places
    )
    return bool(places) and near and not any(map(_installed, places))


def _places(package: str) -> Sequence[str]:
    """Return where Python would import a package from: its file, or the folders of one without a file."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a specification, such as one made by hand
        return ()
    if spec is None:
        return ()
    return [spec.origin] if spec.has_location and spec.origin else [*(spec.submodule_search_locations or ())]


def _installed(place: str) -> bool:
    """Return whether a file comes with Python or a package."""
    folders, stdlib = {"site-packages", "dist-packages"}, sysconfig.get_path("stdlib")
    return bool(folders & {*Path(place).parts}) or Path(place).is_relative_to(stdlib)


def refusal(path: str) -> str:
    """Say why a name is refused and how to allow it."""
    package = path.partition(".")[0]
    if package == "__main__":
        return (
            f"'{path}' was defined in the script that wrote the checkpoint; move it to a module of its own, "
            "such as mine.py, and load the checkpoint in the folder of that file"
        )
    if package not in sys.modules and not _places(package):
        return f"there is no module '{package}' for {path}, neither installed nor in the current folder"
    return (
        f"'{path}' was not imported, for a file must not choose which code runs: "
        f"if you trust {package}, allow it by --trust {package} or, in Python, trust=['{package}']"
    )


class Trust:
    """Finds the class or function that a file names, where it may name it.

    A file may name what `LIBRARIES` hold, the user's own code (`is_own`), what lies in packages that the user
    trusts, and the classes that installed packages offer (`find_offer`), no more of these packages.

    Args:
        packages: What the user trusts.

    Example:
        >>> Trust()("torch.nn.Linear").__name__
        'Linear'
        >>> Trust()("os.system")
        Traceback (most recent call last):
        recurlight.errors.UntrustedCode: 'os.system' was not imported, ...
    """

    def __init__(self, packages: Iterable[str] = ()) -> None:
        self.packages = (*LIBRARIES, *packages)
        self.offered: set[str] = set()  # paths of what was found because a package offers it

    def __call__(self, path: str) -> Any:
        """Import and return what a dotted path names, or the class that a package offers by a bare name.

        Raises:
            UntrustedCode: It may not be named.
            CheckpointMismatch: It does not exist.
        """
        if "." not in path or not self._allows(path):
            return self._plugin(path)
        found = _import(path)
        home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        if inspect.ismodule(found) or not self._allows(home):  # an allowed module has it from elsewhere
            raise UntrustedCode(refusal(path if home == "." else home))
        return found

    def _plugin(self, path: str) -> Any:
        """Return the class that an installed package offers, imported from where the package says it is."""
        entry = find_offer(path)
        if entry is None:
            raise UntrustedCode(refusal(path))
        found = _import(f"{entry.module}.{entry.attr}")
        module, _, name = path.rpartition(".")
        if module and getattr(sys.modules.get(module), name, None) is not found:
            raise UntrustedCode(refusal(path))  # of the same name, from elsewhere in the package
        home = f"{found.__module__}.{found.__qualname__}" if isinstance(found, type) else ""
        if home.partition(".")[0] != entry.module.partition(".")[0]:
            raise UntrustedCode(f"{entry.module} offers {entry.attr}, which is no class of its own")
        self.offered |= {home, import_path(found), *([path] if "." in path else [])}
        return found

    def _allows(self, path: str) -> bool:
        return under(path, self.packages) or is_own(path)


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CheckpointMismatch(f"{path} cannot be found: {error}") from error
    if not hasattr(home, name):
        raise CheckpointMismatch(f"{module} has no '{name}'{suggestion(name, dir(home))}")
    return getattr(home, name)
