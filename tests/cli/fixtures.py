"""Fixtures and helpers of the command line's tests."""

import sys

import pytest
import yaml

import recurlight.cli.app
from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.request import prepare

TINY = """# tiny: the smallest Sudoku
model:
  refiner: {class_path: TwoLevelRefiner, init_args: {latent: {class_path: MixerCell}, latent_steps: 1}}
  truncation: {class_path: LastCycles, init_args: {count: 1}}
  halting: CorrectnessHalting
  width: 8
  cycles: 2
  max_segments: 2
data:
  class_path: SudokuData
  init_args: {size: 4, num_train: 8, num_val: 4, num_test: 4, batch_size: 4, epoch_samples: 8}
trainer: {max_epochs: 1, accelerator: cpu, enable_model_summary: false, enable_progress_bar: false}
"""

AVERAGED = """
model: {optimizer: {class_path: AdamATan2, init_args: {lr: 0.01}}}
trainer:
  callbacks: [{class_path: EMAWeightAveraging, init_args: {decay: 0.5, use_buffers: false}}]
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, cache):
    """A current folder with recipes, away from the user's own cache."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "tiny.yaml").write_text(TINY)
    (recipes / "averaged.yaml").write_text(AVERAGED)
    monkeypatch.setattr(recurlight.cli.app, "recipes_dir", lambda: recipes)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, cache):
    """The checkpoint of a run with averaged weights."""
    folder = tmp_path_factory.mktemp("trained")
    for name, text in (("tiny", TINY), ("averaged", AVERAGED)):
        (folder / f"{name}.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(cache))
        patch.chdir(folder)
        assert main(["fit", "--config", "tiny.yaml", "--config", "averaged.yaml"]) == 0
    return str(folder / "runs/tiny/version_0/checkpoints/last.ckpt")


def printed(capsys, *arguments):
    """Return the configuration that a command line amounts to."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--print_config"])
    assert stopped.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def failure(capsys, *arguments):
    """Return the one line that a command line fails with."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("recurlight: error: ")]
    assert "Traceback" not in error
    assert "usage:" not in error
    assert error.splitlines()[-1:] == lines
    return lines[0].removeprefix("recurlight: error: ")


def built(monkeypatch, folder, *arguments):
    """Return the command line's objects without running it."""
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, subcommand: None)
    return RecurlightCLI(prepare(arguments[0], arguments[1:], folder / "recipes"))
