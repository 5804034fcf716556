"""The package on the page about plug-ins installs, is found and passes its test."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from recurlight.__main__ import main
from recurlight.training.module import RecursiveModule

PAGE = Path(__file__).parents[2] / "docs/plugins.md"
MODULE = "recurlight_damped"
NAMED = ["--model.refiner", "CautiousRefiner", "--model.refiner.cell", "MixerCell"]
SMALL = "--config trm_sudoku --config small --model.width 16 --data.num_train 8 --data.num_val 4"
SHORT = "--data.num_test 4 --data.batch_size 4 --trainer.max_steps 1"
QUIET = "--trainer.accelerator cpu --trainer.enable_progress_bar false"
FIT = ["fit", *SMALL.split(), *SHORT.split(), *QUIET.split()]
HIDDEN = "from recurlight import FixedHalting\n\n\nclass Hidden(FixedHalting):\n    pass\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where pip has put the package of the page, with one file more; nothing is fetched."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target") / "site-packages"
    files = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE.read_text("utf-8"), re.M | re.S)
    for name, text in [*files, (f"{MODULE}/hidden.py", HIDDEN)]:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    offline = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return source, target


@pytest.fixture(autouse=True)
def folder(installed, tmp_path, monkeypatch):
    """A current folder of its own, for one who has installed the package."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed[1])])
    importlib.invalidate_caches()
    return tmp_path


def said(capsys, *words):
    """Return the one line with which a command ends."""
    capsys.readouterr()
    assert main([*words]) == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("recurlight: error: ")


def shown(capsys, *words):
    """Return what a command prints before it stops."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*words])
    return capsys.readouterr().out


def test_it_trains_by_its_bare_name_and_its_checkpoint_needs_no_trust(capsys):
    assert main([*FIT, *NAMED]) == 0
    path = "runs/trm_sudoku/version_0/checkpoints/last.ckpt"
    made = torch.load(path, weights_only=True)["hyper_parameters"]["refiner"]
    assert (made["class_path"], made["init_args"]["damping"]) == (f"{MODULE}.CautiousRefiner", 0.5)
    assert main(["test", "--ckpt_path", path, "--trainer.accelerator", "cpu"]) == 0
    again = ["--config", "runs/trm_sudoku/version_0/config.yaml", "--model.refiner.damping", "0.25"]
    config = yaml.safe_load(shown(capsys, "fit", *again, "--print_config"))
    assert config["model"]["refiner"]["init_args"]["damping"] == 0.25
    assert type(RecursiveModule.load_from_checkpoint(path).recursion.refiner).__name__ == "CautiousRefiner"


def test_help_shows_its_settings(capsys):
    text = shown(capsys, "fit", "--model.refiner.help", "CautiousRefiner")
    assert re.search(r"--model.refiner.damping.*\n? *The share `d`", text)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (f"halting: {MODULE}.hidden.Hidden", f"'{MODULE}.hidden.Hidden' was not imported"),
        ("halting: CautiousRefiner", "CautiousRefiner is no Halting; known: "),
        (
            "refiner: {class_path: CautiousRefiner, init_args: {dampin: 1}}",
            "CautiousRefiner has no setting 'dampi",
        ),
    ],
)
def test_its_entries_may_be_named_and_no_more(folder, capsys, section, message):
    """Fails if one part of a package makes all of it trusted, or is taken for what it is not."""
    (folder / "from.yaml").write_text(f"model: {{{section}}}")
    text = said(capsys, *FIT, *NAMED, "--config", "from.yaml")
    assert message in text
    assert f"{MODULE}.hidden" not in sys.modules


def test_it_passes_its_test(installed, monkeypatch):
    monkeypatch.syspath_prepend(installed[0] / "tests")
    module = importlib.import_module("test_damped")
    try:
        module.test_it_keeps_the_contract()
    finally:
        del sys.modules["test_damped"]
