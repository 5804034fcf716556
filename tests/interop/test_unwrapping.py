# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Which weights of a file are taken, whatever wraps them."""

from __future__ import annotations

import pytest
import torch
from cli.fixtures import cache, failure, folder

from recurlight.interop import import_published

from .conftest import publish
from .importing import SUDOKU, same, weights_of
from .reference import ROOT, random_weights


def test_kinds_of_files_give_the_same_weights(folder):
    """Fails when prefixes, wrappers or bfloat16 are not undone."""
    weights = {key: value.bfloat16() for key, value in random_weights(SUDOKU).items()}
    plain = {key: value.float() for key, value in weights.items()}
    flags = ["--from", "trm"]
    expected = weights_of(publish(folder / "a", SUDOKU, weights=plain), *flags)
    assert all(value.dtype == torch.float32 for value in expected.values())
    assert same(weights_of(publish(folder / "b", SUDOKU, weights=weights), *flags), expected)
    prefixed = publish(folder / "c", SUDOKU, weights=plain, prefix="_orig_mod.")
    assert same(weights_of(prefixed, *flags), expected)


def test_files_with_an_optimizer_say_what_is_left_out(folder, capsys):
    """Fails when averages are taken or dropped without being asked for."""
    file = publish(folder / "hub", SUDOKU)
    raw = random_weights(SUDOKU)
    head = ROOT + "lm_head.weight"
    whole = {"model": raw, "optimizers": [{"state": {}}], "step": 3}
    torch.save(whole, file)
    state = weights_of(file, "--from", "trm")
    assert torch.equal(state["recursion.decoder.head.weight"], raw[head])
    assert "left out: optimizers, step" in capsys.readouterr().out
    torch.save(whole | {"ema_helper": {f"_orig_mod.{head}": raw[head] + 1}}, file)
    assert "--weights averaged" in failure(capsys, "import", str(file), "--from", "trm")
    averaged = weights_of(file, "--from", "trm", "--weights", "averaged")
    assert torch.equal(averaged.pop("recursion.decoder.head.weight"), raw[head] + 1)
    plain = weights_of(file, "--from", "trm", "--weights", "plain")
    assert torch.equal(plain.pop("recursion.decoder.head.weight"), raw[head])
    assert same(averaged, plain)


HEAD = ROOT + "lm_head.weight"


def halves():
    """Weights, and averages that tell themselves apart; buffers have none, as in the published code."""
    plain = random_weights(SUDOKU)
    averages = {
        key: value + 1 for key, value in plain.items() if not key.endswith(("_init", "puzzle_emb.weights"))
    }
    return plain, averages


@pytest.mark.parametrize(
    "wrap",
    [
        lambda plain, averages: {"model_state_dict": plain, "ema_state_dict": averages, "step": 3},
        lambda plain, averages: {"model": plain, "ema": {"mu": 0.999, "shadow": averages}},
        lambda plain, averages: {"net": plain, "ema_model": {"state_dict": averages}},
        lambda plain, averages: {"train": {"state": plain}, "averaged": averages},
        lambda plain, averages: {**plain, "ema": averages},
        lambda plain, averages: {
            "model": {f"module.{key}": value for key, value in plain.items()},
            "swa": {"n_averaged": torch.tensor(3)}
            | {f"module._orig_mod.{key}": value for key, value in averages.items()},
        },
    ],
)
def test_averages_are_found_wherever_a_file_keeps_them(folder, capsys, wrap):
    """Fails when plain weights are taken unasked because the averages have another name."""
    file, (plain, averages) = publish(folder / "hub", SUDOKU), halves()
    torch.save(wrap(plain, averages), file)
    text = failure(capsys, "import", str(file), "--from", "trm")
    assert "holds weights and their averages: add --weights averaged" in text
    assert same(weights_of(file, "--from", "trm", "--weights", "plain"), converted(plain))
    assert same(weights_of(file, "--from", "trm", "--weights", "averaged"), converted(plain | averages))


def converted(weights):
    """Return our names of published weights, which another file holds alone."""
    torch.save(weights, "alone")
    made = import_published("alone", "trm", cycles=2, latent_steps=1, seq_len=16)
    return made.checkpoint["state_dict"]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "module._orig_mod.", "model."])
def test_what_wraps_a_model_leaves_its_names(folder, prefix):
    """Fails when the prefix of distributed or compiled models is taken for another model."""
    plain = random_weights(SUDOKU)
    file = publish(folder / "hub", SUDOKU, weights=plain, prefix=prefix)
    assert same(weights_of(file, "--from", "trm"), converted(plain))


def test_averages_alone_are_taken_as_they_are(folder, capsys):
    """Fails when a file of averages needs plain weights beside them."""
    file, plain = publish(folder / "hub", SUDOKU), random_weights(SUDOKU)
    torch.save({"ema": {"decay": 0.99, "shadow": plain}}, file)
    assert same(weights_of(file, "--from", "trm"), converted(plain))
    assert "holds averages alone" in failure(
        capsys, "import", str(file), "--from", "trm", "--weights", "plain"
    )
