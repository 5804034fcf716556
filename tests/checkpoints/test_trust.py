"""What a checkpoint may not do, and which ones are refused."""

from __future__ import annotations

import importlib
import pickle
import sys

import pytest
import torch
from helpers import batch, loader, trainer
from saved_models import made, require_equal, trained
from torch import nn

from recurlight import CheckpointMismatch, RecursiveModule, SingleRefiner, UntrustedCode
from recurlight.checkpoints.contents import FORMAT


class Evil:
    def __reduce__(self):
        return (open, ("canary", "w"))


def edited(path, **changes):
    """Write a checkpoint in which some sections are changed."""
    content = torch.load(path, weights_only=True)
    for section, change in changes.items():
        content[section] = {**content.get(section, {}), **change}
    torch.save(content, path)
    return path


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(made(), tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt"


def test_a_pickle_with_code_is_refused_and_not_run(saved):
    """Fails with `weights_only=False`: the canary would be written."""
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "hyper_parameters": Evil()}, saved)
    with pytest.raises(UntrustedCode, match="holds Python objects beside the weights"):
        RecursiveModule.load_from_checkpoint(saved)
    with pytest.raises(pickle.UnpicklingError):
        trainer(max_steps=2).fit(made(), loader([batch()] * 2), ckpt_path=saved)
    assert not saved.with_name("canary").exists()


@pytest.mark.parametrize(
    "part",
    [
        {"class_path": "os.system", "init_args": {"command": "touch canary"}},
        {"class_path": "canary_module.Thing"},
        {"class_path": "canary_module.missing.Thing"},
        {"class_path": "recurlight.checkpoints.trust.sys.exit"},
        {"class_path": "recurlight.training.module.torch.hub.load"},
        {"class_path": "recurlight.recursion.slots"},
        {"class_path": "torch.nn.modules.module.warnings.warn"},
        {"class_path": "pytest.main"},
    ],
)
def test_class_paths_of_other_code_are_refused_and_not_imported(saved, monkeypatch, part):
    """Fails if a path is imported before it is looked up, or only its first word is looked at."""
    packages = saved.parent / "lib/site-packages"  # installed, though below the current folder
    packages.mkdir(parents=True)
    (packages / "canary_module.py").write_text("open('canary', 'w')\nimport os as Thing\n")
    monkeypatch.syspath_prepend(packages)
    edited(saved, hyper_parameters={"halting": part})
    with pytest.raises((UntrustedCode, CheckpointMismatch), match=r"x\.ckpt: "):
        RecursiveModule.load_from_checkpoint(saved)
    assert not (saved.parent / "canary").exists()
    assert "canary_module" not in sys.modules


def test_a_function_of_the_file_does_not_make_the_model(saved, monkeypatch):
    """Fails if `_instantiator`, by which Lightning lets a file say who makes a model, is called."""
    (saved.parent / "canary_module.py").write_text("open('canary', 'w')\n")
    monkeypatch.syspath_prepend(saved.parent)
    edited(saved, hyper_parameters={"_instantiator": "canary_module.make"})
    assert type(RecursiveModule.load_from_checkpoint(saved)) is RecursiveModule
    assert not (saved.parent / "canary").exists()


def test_classes_of_other_packages_need_trust(tmp_path, monkeypatch):
    """Fails if anything that is installed may be named."""
    package = tmp_path / "site-packages/extra_cells"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from torch import nn\nclass Curve(nn.Tanh):\n    pass\n")
    monkeypatch.syspath_prepend(package.parent)
    extra = importlib.import_module("extra_cells")
    model = made(refiner=SingleRefiner(nn.Sequential(nn.Linear(16, 16), extra.Curve())))
    trained(model, tmp_path / "x.ckpt")
    with pytest.raises(UntrustedCode, match=r"if you trust extra_cells, allow it by --trust extra_cells"):
        RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt")
    require_equal(RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt", trust=["extra_cells"]), model)


def test_a_newer_format_is_refused_with_both_versions(saved):
    """Fails if the number is written and never looked at."""
    edited(saved, recurlight={"format": FORMAT + 1, "recurlight": "7.8.9"})
    with pytest.raises(CheckpointMismatch, match=r"by recurlight 7\.8\.9, in format 2; this is recurlight"):
        RecursiveModule.load_from_checkpoint(saved)
    with pytest.raises(CheckpointMismatch, match=r"recurlight>=7.8.9"):
        trainer(max_steps=2).fit(made(), loader([batch()] * 2), ckpt_path=saved)


def test_settings_that_are_unknown_here_are_listed(saved):
    """Fails if unknown arguments reach the constructor, whose error names one only."""
    edited(saved, hyper_parameters={"widht": 3, "later": None})
    with pytest.raises(CheckpointMismatch, match="RecursiveModule has no argument 'widht', 'later'"):
        RecursiveModule.load_from_checkpoint(saved)


@pytest.mark.parametrize("section", ["recurlight", "hyper_parameters"])
def test_sections_of_another_kind_are_refused(saved, section):
    """Fails if a section is used without a look at its type."""
    content = torch.load(saved, weights_only=True)
    torch.save({**content, section: ["x"]}, saved)
    with pytest.raises(CheckpointMismatch, match=f"damaged: its '{section}' is no section"):
        RecursiveModule.load_from_checkpoint(saved)


def test_checkpoints_without_the_stamp_are_read(saved):
    """Those of Lightning users who write their own hooks."""
    content = torch.load(saved, weights_only=True)
    del content["recurlight"]
    torch.save(content, saved)
    assert isinstance(RecursiveModule.load_from_checkpoint(saved), RecursiveModule)
