"""Which values an annotation takes, and whose constructors are held to theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from helpers import mixer, module
from torch import Tensor, nn

from recurlight import Batch, IncompatibleComponents, LastCycles, SingleRefiner, SudokuData
from recurlight.spec import to_spec
from recurlight.spec.annotations import accepts
from recurlight.spec.given import checked, within

PAIR = (1, 2)
FITS = [
    (int, [1, -1, np.int64(3)], [True, 1.0, "1", None, torch.tensor(1), [1]]),
    (float, [1, 1.5, np.float32(2)], [True, "1.5", None, float("nan"), float("inf"), torch.tensor(1.0)]),
    (bool, [True, False], [0, 1, "true", None]),
    (str, ["x", Path("x")], [1, None, b"x", ["x"]]),
    (int | None, [1, None], ["1", 1.5]),
    (list[int], [[1], (1, 2), range(3), []], ["12", 1, [1.5], {1: 2}, None]),
    (tuple[int, int], [PAIR, [1, 2]], [(1,), (1, 2, 3), (1, "2"), "12"]),
    (tuple[str, ...], [("a",), []], ["a", [1], None]),
    (Sequence[str], ["ab", ["a"]], [[1], 3]),
    (dict[str, int], [{"a": 1}, {}], [{"a": "1"}, {1: 1}, [("a", 1)]]),
    (Literal[4, 6], [4, 6, 5], ["4", True, None]),
    (Callable[[int], int], [abs, lambda x: x, int], [3, "abs", None]),
    (nn.Module, [nn.Tanh()], [nn.Tanh, "Tanh"]),
    (Tensor, [torch.zeros(1)], [[0.0], 0.0, np.zeros(1)]),
    (Batch, [Batch(*[torch.zeros(1)] * 3)], [(1, 2, 3), None, torch.zeros(3)]),
    (Any, [None, 3, "x"], []),
]


@pytest.mark.parametrize(("hint", "good", "bad"), FITS, ids=lambda value: str(value)[:30])
def test_a_type_takes_what_it_says(hint, good, bad):
    """Fails if a type is read too strictly or too loosely."""
    assert [value for value in good if not accepts(value, hint)] == []
    assert [value for value in bad if accepts(value, hint)] == []


class Own(SingleRefiner):
    """Annotates its argument wrongly, which is its own affair."""

    def __init__(self, cell: str, factor: int = None) -> None:  # noqa: RUF013
        super().__init__(cell)


@dataclass(frozen=True)
class Window(LastCycles):
    note: int = 0


def test_only_our_own_annotations_are_enforced():
    """Fails if classes of users break on their annotations, or escape ours by subclassing."""
    Own(mixer(), "three")
    Window(1, note="three")
    with pytest.raises(IncompatibleComponents, match="Own got cell='x': give an object of class Module"):
        Own("x")
    with pytest.raises(IncompatibleComponents, match="Window got count='1': give a whole number"):
        Window("1")


def test_the_message_says_what_to_write():
    """Fails if a class for an object, or an object for what makes it, is not told apart."""
    made = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    with pytest.raises(IncompatibleComponents, match=r"optimizer: .*functools\.partial\(AdamW, \.\.\.\)"):
        module(optimizer=made)
    with pytest.raises(IncompatibleComponents, match=r"the class SingleRefiner for refiner: .*\(\.\.\.\)"):
        module(refiner=SingleRefiner)
    with pytest.raises(IncompatibleComponents, match=r"got a tensor \(2,\) torch\.float32 for width"):
        module(width=torch.zeros(2))


def test_a_default_fits_whatever_its_type():
    """Fails if what the signature itself gives is refused."""

    @checked
    def call(width: int = None, *others: int, **more: int) -> None:  # noqa: RUF013
        return None

    call(None, "unchecked", width_of="unchecked")
    with pytest.raises(IncompatibleComponents, match="call got width='3'"):
        call("3")


@pytest.mark.parametrize("value", [0, -1, 3, "1", None, True, float("inf"), float("nan")])
def test_a_range_takes_numbers_only(value):
    """Fails if a bound is left out, or if something else than a number is compared."""
    with pytest.raises(IncompatibleComponents, match=r"Part got size=.*: give 1 or more and at most 2"):
        within("Part", "size", value, 1, 2)
    within("Part", "size", 2, 1, 2)
    with pytest.raises(IncompatibleComponents, match="give more than 0"):
        within("Part", "size", 0, above=0)


def test_numbers_of_numpy_are_taken_and_come_back_from_a_record():
    """Fails if a number is good enough to train with and not to be recorded, or the other way round."""
    sizes = SudokuData(size=np.int64(4), num_train=np.int32(9)), LastCycles(np.int64(2))
    written = [to_spec(made)["init_args"] for made in sizes]
    assert (written[0]["size"], written[0]["num_train"], written[1]["count"]) == (4, 9, 2)
    assert to_spec([np.float32(0.5), np.int64(3)]) == [0.5, 3]
    assert [type(one) for one in to_spec([np.float32(0.5), np.int64(3)])] == [float, int]
