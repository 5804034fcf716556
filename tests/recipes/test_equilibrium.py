"""Recipes of equilibrium models: their cycles settle, and the gradient is that of a fixed point."""

import re

import pytest
from overlays import few

from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI

STEPS = 8
CYCLES = {
    "deq_sudoku": [
        *("--model.cycles", "20", "--model.truncation.backward_steps", "12"),
        *("--model.refiner.cell.heads", "4"),
    ],
    "equilibrium_trm_sudoku": [
        *("--model.cycles", "20", "--model.truncation.backward_steps", "12"),
        *("--model.refiner.refiner.latent.heads", "4", "--model.refiner.refiner.answer.heads", "4"),
    ],
}


@pytest.mark.parametrize("name", CYCLES)
def test_both_solves_converge_from_the_first_steps_on(name, tmp_path, monkeypatch, capsys):
    """Fails with a cell that does not contract: `TransformerCell` leaves 0.2 in both directions here."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    steps = ["--trainer.max_steps", str(STEPS), "--data.epoch_samples", str(4 * STEPS)]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main(["fit", *few(name), *CYCLES[name], *steps, *quiet, "--seed_everything", "0"]) == 0
    told = dict(re.findall(r"(forward_residual|backward_residual) ([\d.e-]+)", capsys.readouterr().out))
    assert set(told) == {"forward_residual", "backward_residual"}
    assert max(map(float, told.values())) < 1e-2, told


def test_eqr_starts_anywhere_and_is_pushed_in_every_update(monkeypatch, tmp_path):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    models = []
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, _: models.append(self.model))
    assert main(["fit", *few("eqr_sudoku"), "--trainer.accelerator", "cpu"]) == 0
    refiner = models[0].recursion.refiner
    assert (refiner.damping, refiner.noise, refiner.random_start) == (0.95, 0.01, 1.0)
    assert not refiner.stationary
