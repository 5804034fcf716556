"""A small library in the place of reasoning_gym, which the test suite does not install."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAME = "reasoning_gym"


@contextmanager
def small_gym() -> Iterator[None]:
    """Let `reasoning_gym` be the library in the folder `fakes`, here and in processes that are started."""
    kept = _forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).with_name("fakes")))
        yield
    _forget()
    sys.modules.update(kept)


def _forget() -> dict[str, object]:
    return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == NAME}
