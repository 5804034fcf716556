"""Whether a checkpoint fits a model."""

from __future__ import annotations

import pytest
import torch
from helpers import single, trm

from recurlight.checkpoints import require_same_weights
from recurlight.errors import CheckpointMismatch

OURS = {"cell.weight": torch.zeros(2, 3), "head.bias": torch.zeros(4)}


def refusal(theirs, ours=OURS):
    with pytest.raises(CheckpointMismatch) as caught:
        require_same_weights(ours, theirs)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("the checkpoint is of another architecture: ")
    assert message.endswith(
        "give the config that it was trained with, or drop the flags that change the model"
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
