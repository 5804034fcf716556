"""What `--print_config` prints of a recipe is the recipe: the same settings and the same objects."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from overlays import FOLDER, WHOLE, runnable, standing

from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.request import prepare
from recurlight.spec import to_spec

NARROW = ["--model.width", "32", "--trainer.accelerator", "cpu"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, subcommand: None)


def printed(capsys, name):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", name, *standing(name), *NARROW, "--print_config"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def made(name):
    cli = RecurlightCLI(prepare("fit", ["--config", name, *standing(name), *NARROW], FOLDER))
    callbacks = [to_spec_or_name(callback) for callback in cli.trainer.callbacks]
    return cli.model.description, to_spec(cli.datamodule), cli.trainer.max_steps, callbacks


def to_spec_or_name(callback):
    """Describe a callback, which is not recorded, as far as it can be told apart."""
    plain = (bool, int, float, str)
    return type(callback).__name__, {k: v for k, v in vars(callback).items() if isinstance(v, plain)}


@pytest.mark.parametrize("name", runnable(WHOLE))
def test_the_printed_recipe_is_the_recipe(name, capsys):
    """Fails if printing leaves out a setting, or writes one that is read differently."""
    text = printed(capsys, name)
    Path("printed.yaml").write_text(text)
    assert yaml.safe_load(printed(capsys, "printed.yaml")) == yaml.safe_load(text)
    recipe, again = made(name), made("printed.yaml")
    assert again == recipe
    assert recipe[0].unrecorded == {}
