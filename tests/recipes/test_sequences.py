"""The recipes on generated tasks: small, they train; at any size, the baselines match what they claim."""

from pathlib import Path

import pytest

from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.request import prepare

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
OVERLAYS = {
    "trm_sort": "small_sort",
    "feedforward_sort": "small_sort",
    "feedforward_deep_sort": "small_sort",
    "ut_s5": "small_s5",
}


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
    sizes = ["--data.num_train=40", "--data.num_val=3", "--data.num_test=3", "--data.batch_size=4"]
    short = ["--trainer.max_steps=1", "--data.epoch_samples=4", "--trainer.enable_progress_bar=false"]
    configs = ["--config", recipe, "--config", overlay, "--trainer.accelerator=cpu"]
    assert main(["fit", *configs, *sizes, *short]) == 0
    table = capsys.readouterr().out.partition("exact accuracy by length after segments\n")[2].splitlines()
    expected = ["8", "10", "12", "16"] if overlay == "small_sort" else ["6", "8", "10"]
    assert [line.split()[0] for line in table[1 : 1 + len(expected)]] == expected
    assert table[0].split()[:2] == ["length", "1"]


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
