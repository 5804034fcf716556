"""Whether a checkpoint fits a model."""

from __future__ import annotations

import pytest
import torch
from helpers import mixer, single, trm

from recurlight.cells import TransformerCell
from recurlight.checkpoints.weights import require_fitting, require_same_weights
from recurlight.codec.tokens import TokenEncoder
from recurlight.errors import CheckpointMismatch
from recurlight.halting import CorrectnessHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.truncation import LastCycles
from recurlight.types import Sizes

OURS = {"cell.weight": torch.zeros(2, 3), "head.bias": torch.zeros(4)}


def refusal(theirs, ours=OURS):
    with pytest.raises(CheckpointMismatch) as caught:
        require_same_weights(ours, theirs)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("the checkpoint is of another architecture: ")
    assert message.endswith(
        "give the config that it was trained with, or drop the flags that change the model or its data"
    )
    return message


def test_the_same_names_and_shapes_pass_whatever_the_values_dtypes_and_order():
    theirs = {name: torch.ones_like(value).double() for name, value in reversed(OURS.items())}
    require_same_weights(OURS, theirs)
    require_same_weights(trm(seed=0).state_dict(), trm(seed=1).state_dict())


def test_a_missing_key_is_named():
    assert "head.bias is missing there;" in refusal({"cell.weight": OURS["cell.weight"]})


def test_an_unknown_key_is_named():
    assert "extra is unknown here;" in refusal(OURS | {"extra": torch.zeros(1)})


@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 1), (6,), (2, 4)])
def test_another_shape_is_named_with_both_shapes(shape):
    assert f"cell.weight is {shape} there and (2, 3) here;" in refusal(
        OURS | {"cell.weight": torch.zeros(shape)}
    )


def test_all_kinds_of_difference_are_listed():
    message = refusal({"cell.weight": torch.zeros(1), "old": torch.zeros(1)})
    for part in ("head.bias is missing there", "old is unknown here", "cell.weight is (1,) there"):
        assert part in message
    assert "more" not in message


def test_a_long_list_is_cut_and_counted():
    ours = {f"w{index}": torch.zeros(1) for index in range(9)}
    message = refusal({}, ours)
    assert "w0 is missing there, w1 is missing there, w2 is missing there, and 6 more differences;" in message
    assert "w3" not in message


def test_models_of_two_families_are_told_apart():
    message = refusal(single().state_dict(), trm().state_dict())
    assert "refiner.latent.blocks.0" in message


HERE = Sizes(vocab=8, tokens=36, width=16)


def made(cell, sizes: Sizes, learned: bool = False) -> Recursion:
    refiner = TwoLevelRefiner(cell, latent_steps=1)
    parts = (refiner, LastCycles(1), CorrectnessHalting(), TokenEncoder(learned_positions=learned))
    return Recursion(sizes, *parts, cycles=2, max_segments=2)


def moved(cell, there: Sizes, learned: bool = False) -> str:
    """Return why weights made for other sizes do not fit into those made for `HERE`."""
    checkpoint = {
        "state_dict": made(cell(), there, learned).state_dict(),
        "hyper_parameters": {"vocab_size": there.vocab, "seq_len": there.tokens, "width": there.width},
    }
    with pytest.raises(CheckpointMismatch) as caught:
        require_fitting(made(cell(), HERE, learned), checkpoint, HERE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def grid() -> TransformerCell:
    return TransformerCell(1, heads=2, multiple=16, rotary_axes=2)


def test_attention_on_grids_moves_to_another_size():
    """Fails if anything of the positions is a weight, or sizes are compared instead of weights."""
    there = Sizes(vocab=8, tokens=16, width=16)
    settings = {"vocab_size": 8, "seq_len": 16}
    checkpoint = {"state_dict": made(grid(), there).state_dict(), "hyper_parameters": settings}
    require_fitting(made(grid(), HERE), checkpoint, HERE)


@pytest.mark.parametrize(
    ("cell", "learned", "weight"),
    [(mixer, False, "refiner.latent.blocks.0.positions.gate_up.weight"), (grid, True, "encoder.position")],
)
def test_weights_of_positions_are_named_with_the_length(cell, learned, weight):
    """Fails if the refusal does not say that the data are of another length."""
    message = moved(cell, Sizes(vocab=8, tokens=16, width=16), learned)
    assert message.startswith(
        f"the checkpoint is of another architecture: model.seq_len is 16 there and 36 here, {weight} is ("
    )
    assert "vocab" not in message


def test_another_vocabulary_is_named_with_the_other_sizes():
    """Fails if the refusal names weights alone, or sizes that are the same."""
    message = moved(grid, Sizes(vocab=16, tokens=16, width=16))
    assert "model.vocab_size is 16 there and 8 here, model.seq_len is 16 there and 36 here, " in message
    assert "encoder.token is (16, 16) there and (8, 16) here" in message
    assert "width" not in message
    assert "model.width is 32 there and 16 here" in moved(grid, Sizes(vocab=8, tokens=16, width=32))
