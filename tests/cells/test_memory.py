"""What a memory of keys and values returns, with numbers for tensors."""

from __future__ import annotations

import pytest
import torch

from recurlight.cells.memory import Memory
from recurlight.errors import IncompatibleComponents


def slot(*tokens: float) -> torch.Tensor:
    return torch.tensor(tokens)[None, None, :, None]  # (1, 1, n, 1)


def read(memory: Memory, segments: list[list[list[float]]]) -> list[list[list[float]]]:
    """Give the keys of each call of each segment of a piece; return what each call then sees."""
    seen = []
    for calls in segments:
        memory.begin()
        found = [memory.extend(slot(*call), slot(*(-one for one in call))) for call in calls]
        assert all(torch.equal(keys, -values) for keys, values in found)
        seen.append([keys.flatten().tolist() for keys, _ in found])
    memory.keep()
    return seen


def test_each_call_sees_what_it_saw_before():
    memory = Memory()
    assert read(memory, [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]) == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert memory.length == 2
    assert read(memory, [[[11], [13]], [[15], [17]]]) == [[[1, 2, 11], [3, 4, 13]], [[5, 6, 15], [7, 8, 17]]]
    assert memory.length == 3


def test_the_last_segment_stands_in_for_those_that_a_token_did_not_run():
    """Fails if a segment that is missing is left out, which would shift all that comes after."""
    memory = Memory()
    read(memory, [[[1]], [[2]]])
    assert read(memory, [[[11]]]) == [[[1, 11]]]  # stops early
    assert read(memory, [[[21]], [[22]], [[23]]]) == [[[1, 11, 21]], [[2, 11, 22]], [[2, 11, 23]]]


def test_with_last_every_segment_sees_the_last_one():
    memory = Memory(last=True)
    read(memory, [[[1]], [[2]]])
    assert read(memory, [[[11]], [[12]], [[13]]]) == [[[2, 11]], [[2, 12]], [[2, 13]]]
    assert read(memory, [[[21]]]) == [[[2, 13, 21]]]


def test_another_number_of_calls_is_refused():
    memory = Memory()
    read(memory, [[[1]]])
    memory.begin()
    memory.extend(slot(2), slot(2))
    with pytest.raises(
        IncompatibleComponents, match="called 2 times in a segment, of earlier tokens 1 times"
    ):
        memory.extend(slot(3), slot(3))
    memory = Memory()
    read(memory, [[[1], [2]]])
    with pytest.raises(IncompatibleComponents, match="called 1 times in a segment, of earlier tokens 2"):
        read(memory, [[[3]]])
    assert read(memory, [[[4], [5]]]) == [[[1, 4], [2, 5]]]  # as before what was refused


def test_a_piece_that_is_given_up_was_never_there():
    memory = Memory()
    read(memory, [[[1]], [[2]]])
    memory.begin()
    memory.extend(slot(11), slot(-11))
    memory.give_up()
    assert memory.length == 1
    assert read(memory, [[[21]], [[22]]]) == [[[1, 21]], [[2, 22]]]


def test_a_call_outside_a_segment_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"call the model within remembering\(\.\.\.\)"):
        Memory().extend(slot(1), slot(1))
