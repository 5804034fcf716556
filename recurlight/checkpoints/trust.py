"""Which code a file may name: importing a module runs it, so a stranger's file must not choose freely."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from recurlight.errors import CheckpointMismatch, UntrustedCode, suggestion

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
    """Return whether a name is of the user's own code.

    That is what the running program has defined or has imported from files that are not installed packages;
    and what a file of the current folder defines. Such a file is read, not run, and must bind the name at
    its top level, so that naming a class gives no way to start some other script that lies there.
    """
    module, _, name = path.rpartition(".")
    parts = module.split(".")
    if not all(part.isidentifier() for part in (*parts, name)):
        return False
    if module in sys.modules:
        return name in vars(sys.modules[module]) and not _installed(sys.modules[module])
    if not _found_here(parts[0]):
        return False
    base = Path.cwd().joinpath(*parts)
    file = next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
    return file is not None and name in _bound(file)


def _installed(module: ModuleType) -> bool:
    """Return whether a module comes with Python or with a package, and not from the user's files."""
    if module.__name__ == "__main__":
        return False
    file = Path(getattr(module, "__file__", None) or sysconfig.get_path("stdlib"))
    folders = {"site-packages", "dist-packages"}
    return bool(folders & {*file.parts}) or file.is_relative_to(sysconfig.get_path("stdlib"))


def _found_here(package: str) -> bool:
    """Return whether Python would import a package from the current folder; installed ones come first."""
    here = Path.cwd()
    if not (here / package).is_dir() and not (here / f"{package}.py").is_file():
        return False
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a specification, such as one made by hand
        return False
    places = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or ())]
    own = {(here / name).resolve() for name in (package, f"{package}.py", f"{package}/__init__.py")}
    return any(place and Path(place).resolve() in own for place in places)


def _bound(file: Path) -> set[str]:
    """Return the names that a file's top level defines or imports."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return set()
    names = {node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    imports = [alias for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return names | {alias.asname or alias.name for alias in imports}


def refusal(path: str) -> str:
    """Say why a name is refused and how to allow it."""
    package = path.partition(".")[0]
    if not all(part.isidentifier() for part in path.split(".")):
        return f"{path!r} is no path of a class"
    if package == "__main__":
        return (
            f"'{path}' was defined in the script that wrote the checkpoint; move it to a module of its own, "
            "such as mine.py, and load the checkpoint in the folder of that file"
        )
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        return f"there is no module '{package}' for {path}, neither installed nor in the current folder"
    return (
        f"'{path}' was not imported, for a file must not choose which code runs: "
        f"if you trust {package}, allow it by --trust {package} or, in Python, trust=['{package}']"
    )


class Trust:
    """Finds the class or function that a file names, where it may name it.

    A file may name what `LIBRARIES` hold, the user's own code (`is_own`), any part that the program has
    imported already and that derives from recurlight's classes, and what lies in packages that the user
    trusts.

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

    def __call__(self, path: str) -> Any:
        """Import and return what a dotted path names.

        Raises:
            UntrustedCode: It may not be named.
            CheckpointMismatch: It does not exist.
        """
        if not (self._allows(path) or self._knows(path)):
            raise UntrustedCode(refusal(path))
        found = _import(path)
        home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        if inspect.ismodule(found) or not (self._allows(home) or self._knows(path)):
            # an allowed module has imported it from elsewhere
            raise UntrustedCode(refusal(path if home == "." else home))
        return found

    def _allows(self, path: str) -> bool:
        return under(path, self.packages) or is_own(path)

    @staticmethod
    def _knows(path: str) -> bool:
        """Return whether a path names an extension of recurlight that is imported already."""
        from recurlight.spec.recorded import Recorded

        module, _, name = path.rpartition(".")
        found = vars(sys.modules.get(module, sys)).get(name)
        return isinstance(found, type) and issubclass(found, Recorded)


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CheckpointMismatch(f"{path} cannot be found: {error}") from error
    if not hasattr(home, name):
        raise CheckpointMismatch(f"{module} has no '{name}'{suggestion(name, dir(home))}")
    return getattr(home, name)
