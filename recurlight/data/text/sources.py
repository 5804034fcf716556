"""A text corpus that every machine has: the sources of Python's own standard library."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from recurlight.errors import DataError

__all__ = ["standard_library"]

_TESTS = {"test", "tests", "idle_test"}


def standard_library() -> list[Path]:
    """Return the sources of the standard library of the running interpreter, in the order of their names.

    Its tests are left out, and so is what was installed beside it or made for this machine.

    Raises:
        DataError: The interpreter came without sources.

    Example:
        >>> [path.name for path in standard_library()][:1]
        ['__future__.py']
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted((path.relative_to(root) for path in root.rglob("*.py")), key=Path.as_posix)
    files = [root / path for path in found if _is_ours(path)]
    if not files:
        raise DataError(
            f"this Python has no sources of its standard library in {root}: set data.path to a text file, "
            "or a folder of them"
        )
    return files


def _is_ours(path: Path) -> bool:
    """Tell whether a file belongs to a public or private module of the library, and is no test."""
    top = path.parts[0].removesuffix(".py")
    return top in sys.stdlib_module_names and not _TESTS & {*path.parts[:-1]}
