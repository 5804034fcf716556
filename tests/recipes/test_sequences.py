"""The recipes on generated tasks: small, they train; at any size, the baselines match what they claim."""

from pathlib import Path

import pytest
import torch

from recurlight.__main__ import main
from recurlight.cells import TransformerCell
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.request import prepare

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
OVERLAYS = {
    "trm_sort": "small_sort",
    "feedforward_sort": "small_sort",
    "feedforward_deep_sort": "small_sort",
    "deep_thinking_sort": "small_deep_thinking_sort",
    "ut_s5": "small_s5",
    "deep_thinking_parity": "small_parity",
    "feedforward_parity": "small_parity",
}
LENGTHS = {
    "small_sort": ["8", "10", "12", "16"],
    "small_deep_thinking_sort": ["8", "12", "16"],
    "small_s5": ["6", "8", "10"],
    "small_parity": ["16", "32"],
}
FEW = ["--data.num_train=40", "--data.num_val=3", "--data.num_test=3", "--data.batch_size=4"]
SHORT = ["--trainer.max_steps=1", "--data.epoch_samples=4", "--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def recursion(monkeypatch, *configs):
    """Return the model that configurations compose, without training it."""
    models = []
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, _: models.append(self.model))
    words = [word for name in configs for word in ("--config", name)]
    RecurlightCLI(prepare("fit", [*words, "--trainer.accelerator=cpu"], FOLDER))
    return models[0].recursion


def weights(model):
    return sum(parameter.numel() for parameter in model.parameters())


def work(model):
    """Return the blocks that a training step applies, thrice those with gradient: forward and backward."""
    schedule = model.refiner.schedule()
    mask = model.truncation.mask(schedule, model.cycles)
    cells = model.refiner.cells()
    every = [len(cells[level].blocks) for level in schedule * model.cycles]
    return sum(blocks * (3 if recorded else 1) for blocks, recorded in zip(every, mask, strict=True))


@pytest.mark.parametrize(("recipe", "overlay"), OVERLAYS.items())
def test_trains_with_its_overlay_and_tells_accuracy_by_length(recipe, overlay, capsys):
    """Breaks when the overlay's data or lengths do not fit the recipe, or the table is not printed."""
    configs = ["--config", recipe, "--config", overlay, "--trainer.accelerator=cpu"]
    assert main(["fit", *configs, *FEW, *SHORT]) == 0
    table = rows_by_length(capsys)
    assert [line.split()[0] for line in table[1 : 1 + len(LENGTHS[overlay])]] == LENGTHS[overlay]
    assert table[0].split()[:2] == ["length", "1"]


def rows_by_length(capsys):
    """Return the lines of the table that is printed, its head first."""
    return capsys.readouterr().out.partition("exact accuracy by length after segments\n")[2].splitlines()


def test_what_was_trained_on_a_short_canvas_is_asked_longer_questions(capsys):
    """Breaks when weights, or the sizes in a checkpoint, hold a model to the lengths of its training."""
    configs = ["--config", "deep_thinking_parity", "--config", "small_parity", "--trainer.accelerator=cpu"]
    assert main(["fit", *configs, *FEW, *SHORT]) == 0
    saved = "runs/deep_thinking_parity/version_0/checkpoints/last.ckpt"
    asked = ["--data.eval_lengths=[32, 40]", "--model.eval_segments=4", *SHORT[2:]]
    capsys.readouterr()
    assert main(["test", "--ckpt_path", saved, *asked, "--trainer.accelerator=cpu"]) == 0
    table = rows_by_length(capsys)
    assert [line.split()[0] for line in table[1:3]] == ["32", "40"]
    assert table[0].split() == ["length", "1", "2", "4"]


def test_what_was_trained_on_small_mazes_is_asked_larger_ones(capsys):
    """Breaks when the convolutions, or the sizes in a checkpoint, hold a model to one grid."""
    name, cpu = "deep_thinking_maze", "--trainer.accelerator=cpu"
    assert main(["fit", "--config", name, "--config", f"small_{name}", *FEW, *SHORT, cpu]) == 0
    saved = f"runs/{name}/version_0/checkpoints/last.ckpt"
    capsys.readouterr()
    asked = ["--data.size=12", "--model.eval_segments=2", SHORT[2], cpu]
    assert main(["test", "--ckpt_path", saved, *asked]) == 0
    table = capsys.readouterr().out.partition("exact accuracy after segments\n")[2].splitlines()
    assert table[0].split() == ["segments", "1", "2"]


@pytest.mark.parametrize("overlays", [(), ("small_sort",)])
def test_the_baselines_have_the_parameters_or_the_compute_that_they_claim(overlays, monkeypatch):
    """Breaks when one recipe's layers, cycles or width change and the others' do not."""
    trm, flat, deep = (
        recursion(monkeypatch, name, *overlays)
        for name in ("trm_sort", "feedforward_sort", "feedforward_deep_sort")
    )
    assert weights(flat) == weights(trm) - weights(trm.halting)
    assert weights(trm.halting) < 0.01 * weights(trm)
    assert work(deep) == work(trm)
    assert work(flat) == 6
    assert weights(deep) > 3 * weights(trm)
    for model in (flat, deep):
        assert (model.cycles, model.max_segments) == (1, 1)


def test_the_baselines_of_parity_have_the_parameters_or_the_compute_that_they_claim(monkeypatch):
    """Breaks when layers, cycles or windows of one recipe change and those of the others do not."""
    configs = ("small_parity",)
    deep, flat = (
        recursion(monkeypatch, name, *configs) for name in ("deep_thinking_parity", "feedforward_parity")
    )
    assert weights(deep) == weights(flat)
    assert (flat.cycles, flat.max_segments) == (1, 1)
    windows = [(n, k) for n in range(deep.cycles) for k in range(1, deep.cycles - n + 1)]
    mean = sum((n + 3 * k) / (deep.cycles - n) for n, k in windows) / deep.cycles
    blocks = len(deep.refiner.cell.blocks)
    assert mean * blocks == pytest.approx(3 * 26, rel=0.02)
    attention = TransformerCell(1, heads=4)
    attention.bind(deep.sizes, torch.Generator())
    assert weights(attention) == weights(deep.refiner.cell)
