"""A carry in a checkpoint: plain, in the order of the global batch, and refused where it does not fit."""

from __future__ import annotations

import pytest
import torch
from helpers import batch, trm

from recurlight import slots
from recurlight.errors import CheckpointMismatch, IncompatibleComponents
from recurlight.training.carries import Carries, pack, unpack
from recurlight.types import Carry


def carry(rows: int = 8, seed: int = 0) -> Carry:
    recursion = trm()
    made = recursion.segment(recursion.start(batch(rows, seed=seed)), batch(rows, seed=seed))[0]
    return made._replace(halted=torch.arange(rows) % 3 == 0)


def test_it_comes_back_as_it_was():
    """Fails if a field, its dtype or its type is lost."""
    before = carry()
    after = unpack(pack(before), like=trm().start(batch(8)))
    assert type(after) is Carry
    assert type(after.state) is type(before.state)
    for one, other in zip(slots.detach(before)._asdict().values(), after._asdict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_it_loads_without_running_code(tmp_path):
    """Fails if it holds named tuples."""
    torch.save(pack(carry()), tmp_path / "carry")
    assert torch.load(tmp_path / "carry", weights_only=True).keys() == {"state", "batch", "age", "halted"}


def test_it_is_a_copy_of_its_own_size(tmp_path):
    """Fails if a view is saved, with all that it views, or if training could change what was packed."""
    whole = torch.zeros(1000, 4)
    packed = pack(batch(4)._replace(task=whole[:4, 0]))
    whole.fill_(1)
    assert packed["task"].tolist() == [0] * 4
    torch.save(packed["task"], tmp_path / "task")
    assert (tmp_path / "task").stat().st_size < 2000


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_each_rank_takes_its_rows(ranks):
    """Fails if a rank takes another's rows, or all of them."""
    before, rows = carry(), 8 // ranks
    parts = [unpack(pack(before), trm().start(batch(rows)), rank, ranks) for rank in range(ranks)]
    assert torch.equal(torch.cat([part.state.latent for part in parts]), before.state.latent)
    assert torch.equal(torch.cat([part.halted for part in parts]), before.halted)


def test_another_batch_size_is_refused():
    """Fails if rows are cut off or left over."""
    for rows in (4, 16):
        with pytest.raises(CheckpointMismatch, match=rf"carry.state.answer is \(8, 16, 16\) .* \({rows}, "):
            unpack(pack(carry()), like=trm().start(batch(rows)))
    with pytest.raises(CheckpointMismatch, match=r"\(8, 16, 16\) in the checkpoint and \(16, 16, 16\)"):
        unpack(pack(carry()), trm().start(batch(8)), rank=0, ranks=2)


def test_another_refiner_is_refused():
    """Fails if fields are matched by their place."""
    packed = pack(carry())
    packed["state"]["hidden"] = packed["state"].pop("latent")
    with pytest.raises(
        CheckpointMismatch, match=r"carry.state holds answer, hidden in .* and answer, latent in"
    ):
        unpack(packed, like=trm().start(batch(8)))
    with pytest.raises(CheckpointMismatch, match=r"carry.age is no tensor"):
        unpack(pack(carry()) | {"age": {}}, like=trm().start(batch(8)))


def test_a_micro_batch_begins_with_what_was_loaded_for_it_and_the_others_wait():
    """Fails if a loaded carry is used twice, for another micro-batch, or is lost before its turn comes."""
    before, carries = carry(), Carries()
    carries.loaded = {0: pack(before), 1: pack(carry(seed=1))}
    fresh = trm().start(batch(8))
    carries.open(0, fresh)
    carries.open(2, fresh)
    assert torch.equal(carries[0].state.answer, before.state.answer)
    assert carries[2] is fresh
    assert list(carries.pack()) == [1, 0, 2]
    assert torch.equal(carries.pack()[1]["state"]["answer"], carry(seed=1).state.answer)


def test_a_carry_of_another_length_is_refused():
    """Fails if a run on data of another length goes on with slots that are none of its samples."""
    carries, packed = Carries(), pack(carry())
    packed["batch"]["inputs"] = packed["batch"]["inputs"][:, :9]
    carries.loaded = {0: packed}
    with pytest.raises(CheckpointMismatch, match=r"carry.batch.inputs is \(8, 9\) .* its weights alone"):
        carries.open(0, trm().start(batch(8)))


def test_a_batch_of_another_size_is_refused():
    """Fails if the last, smaller batch of a loader goes on with the slots of a larger one."""
    carries = Carries()
    carries.open(0, trm().start(batch(8)))
    assert carries.of(0, batch(8)) is carries[0]
    with pytest.raises(
        IncompatibleComponents, match=r"\(4, 16\) follows one of shape \(8, 16\): .* drop_last"
    ):
        carries.of(0, batch(4))


def test_the_magnitudes_of_all_carries_are_found():
    """Fails if a micro-batch, a field or a slot is passed over."""
    carries = Carries()
    for micro in (0, 1):
        carries[micro] = carry(seed=micro)
        carries[micro].state.latent[micro, 3, 2] = torch.inf
    found = carries.magnitudes()
    assert [name for name, _ in found] == ["answer", "latent"] * 2
    assert [sizes.isinf().nonzero().flatten().tolist() for _, sizes in found] == [[], [0], [], [1]]
