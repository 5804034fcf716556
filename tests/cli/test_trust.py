# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Files cannot choose which code runs; flags, the current folder and --trust can."""

import importlib
import sys

import pytest
import torch

from recurlight.__main__ import main
from recurlight.checkpoints.trust import is_own
from recurlight.cli.request import prepare

from .fixtures import cache, failure, folder, printed, trained

CANARY = "from pathlib import Path\nPath('canary').touch()\n"
OWN = "from recurlight import FixedHalting\nclass Own(FixedHalting):\n    pass\n"


@pytest.fixture(autouse=True)
def forget():
    """Forget modules that tests have made, so that each imports its own."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("fresh_"):
            del sys.modules[name]


def edited(trained, **settings):
    content = torch.load(trained, weights_only=True)
    content["hyper_parameters"] |= settings
    torch.save(content, "edited.ckpt")
    return ["test", "--ckpt_path", "edited.ckpt"]


def installed(folder, monkeypatch, source):
    """Install a package `fresh_package`."""
    package = folder / "lib/site-packages/fresh_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(package.parent)
    importlib.invalidate_caches()


REFUSED = [
    {"class_path": "os.system", "init_args": {"command": "touch canary"}},
    "os.system",
    "subprocess.Popen",
    "fresh_elsewhere.Own",
    "fresh_package.Own",
    "__main__.Own",
    "torch.hub.load",
    "recurlight.checkpoints.trust.sys.exit",
    "recurlight.cli.app.os.system",
    "lightning.pytorch.cli.instantiate_module",
    "jsonargparse.set_parsing_settings",
]


PLACES = [(name, "checkpoint") for name in REFUSED] + [(name, "file") for name in REFUSED[1::3]]


@pytest.mark.parametrize(("name", "place"), PLACES, ids=str)
def test_code_of_others_is_refused_and_not_imported(trained, folder, capsys, monkeypatch, name, place):
    """Fails if jsonargparse may import whatever a file names, which it does before it looks at the type."""
    installed(folder, monkeypatch, CANARY + OWN)
    elsewhere = folder.parent / f"{folder.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "fresh_elsewhere.py").write_text(CANARY + OWN)
    monkeypatch.syspath_prepend(elsewhere)
    (folder / "from.yaml").write_text(f"model: {{halting: {name}}}")
    arguments = ["fit", "--config", "tiny", "--config", "from.yaml"]
    text = failure(capsys, *(arguments if place == "file" else edited(trained, halting=name)))
    assert "model.halting: " in text
    assert not (folder / "canary").exists()
    assert not {"fresh_elsewhere", "fresh_package"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("model: {optimizer: {class_path: fresh_package.Own}}", "model.optimizer"),
        ("model: {refiner: {init_args: {latent: fresh_package.Own}}}", "model.refiner.latent"),
        ("data: {class_path: fresh_package.Own}", "data"),
        ("trainer: {callbacks: [{class_path: fresh_package.Own}]}", "trainer.callbacks"),
        ("trainer: {callbacks: [{class_path: LambdaCallback, init_args: {setup: os.abort}}]}", "'os.abort'"),
        ("model: {halting: '{class_path: fresh_package.Own}'}", "model.halting"),
    ],
)
def test_wherever_a_file_names_it(folder, capsys, monkeypatch, section, text):
    """Fails if only some sections are looked at."""
    installed(folder, monkeypatch, CANARY + OWN)
    (folder / "from.yaml").write_text(section)
    assert text in failure(capsys, "fit", "--config", "tiny", "--config", "from.yaml")
    assert "fresh_package" not in sys.modules


def test_the_refusal_says_how_to_allow_it(folder, capsys, monkeypatch):
    """Fails if consent outlives its command, or the message does not say what to type."""
    installed(folder, monkeypatch, OWN)
    (folder / "from.yaml").write_text("model: {halting: fresh_package.Own}")
    arguments = ["fit", "--config", "tiny", "--config", "from.yaml"]
    text = failure(capsys, *arguments)
    assert text.startswith("from.yaml: model.halting: 'fresh_package.Own' was not imported")
    assert "if you trust fresh_package, allow it by --trust fresh_package" in text
    config = printed(capsys, *arguments, "--trust", "fresh_package")
    assert config["model"]["halting"]["class_path"] == "fresh_package.Own"
    del sys.modules["fresh_package"]
    assert "was not imported" in failure(capsys, *arguments)  # consent is for one command


def offering(folder, *names):
    """Let the package offer classes, as an installed plug-in does."""
    information = folder / "lib/site-packages/fresh_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fresh_package\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = fresh_package:{name}" for name in names)
    (information / "entry_points.txt").write_text(f"[recurlight.parts]\n{lines}\n")


def test_a_plug_in_is_imported_when_it_is_named_and_not_before(folder, capsys, monkeypatch):
    """Fails if plug-ins are imported at the start or for a hint, or need --trust."""
    own = OWN.replace("Own", "FreshlyOffered")
    installed(folder, monkeypatch, CANARY + own + own.replace("Offered", "Kept"))
    offering(folder, "FreshlyOffered")
    fit = ["fit", "--config", "tiny", "--model.halting"]
    printed(capsys, *fit[:-1])
    text = failure(capsys, *fit, "FreshlyOfferd")
    assert text == "model.halting: 'FreshlyOfferd' is not a known Halting; did you mean 'FreshlyOffered'?"
    (folder / "kept.yaml").write_text("model: {halting: fresh_package.FreshlyKept}")
    assert "'fresh_package.FreshlyKept' was not imported" in failure(
        capsys, *fit[:-1], "--config", "kept.yaml"
    )
    assert not (folder / "canary").exists()
    (folder / "from.yaml").write_text("model: {halting: FreshlyOffered}")
    for words in ([*fit, "FreshlyOffered"], [*fit[:-1], "--config", "from.yaml"]):
        assert printed(capsys, *words)["model"]["halting"]["class_path"] == "fresh_package.FreshlyOffered"
    assert (folder / "canary").exists()


def test_the_name_of_a_plug_in_elsewhere_in_its_package_is_no_plug_in(folder, capsys, monkeypatch):
    """Fails if a file reaches any module of a package by the name of a class that the package offers."""
    installed(folder, monkeypatch, OWN.replace("Own", "FreshlyOffered"))
    offering(folder, "FreshlyOffered")
    (folder / "evil.yaml").write_text("model: {halting: fresh_package.evil.FreshlyOffered}")
    text = failure(capsys, "fit", "--config", "tiny", "--config", "evil.yaml")
    assert "'fresh_package.evil.FreshlyOffered' was not imported" in text


def test_a_plug_in_may_offer_a_model(folder, capsys, monkeypatch):
    model = OWN.replace("FixedHalting", "RecursiveModule").replace("Own", "FreshModel")
    installed(folder, monkeypatch, model)
    offering(folder, "FreshModel")
    config = printed(capsys, "fit", "--config", "tiny", "--model", "FreshModel")
    assert config["model"]["class_path"] == "fresh_package.FreshModel"


def test_no_plug_in_takes_the_place_of_a_part(folder, capsys, monkeypatch):
    installed(folder, monkeypatch, CANARY + OWN.replace("Own", "CorrectnessHalting"))
    offering(folder, "CorrectnessHalting")
    config = printed(capsys, "fit", "--config", "tiny")
    assert config["model"]["halting"]["class_path"] == "recurlight.CorrectnessHalting"
    assert not (folder / "canary").exists()


def test_flags_are_the_user_s_own_words(folder, capsys, monkeypatch):
    """Fails if a class that a flag names has to be trusted too."""
    installed(folder, monkeypatch, OWN)
    config = printed(capsys, "fit", "--config", "tiny", "--model.halting", "fresh_package.Own")
    assert config["model"]["halting"]["class_path"] == "fresh_package.Own"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("fresh_mine.py", "fresh_mine.Own"),
        ("fresh_mine/__init__.py", "fresh_mine.Own"),
        ("fresh_mine/inner.py", "fresh_mine.inner.Own"),
        ("src/fresh_mine.py", "fresh_mine.Own"),
    ],
)
def test_the_user_who_trained_it_loads_own_classes_of_the_current_folder(
    trained, folder, capsys, monkeypatch, file, name
):
    """Fails if own classes need a flag, or if their file must lie in the current folder itself."""
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(OWN)
    monkeypatch.syspath_prepend(folder / "src")
    arguments = edited(trained, halting={"class_path": name})
    assert printed(capsys, *arguments)["model"]["halting"]["class_path"] == name


def test_an_installed_module_is_not_own_because_a_file_is_called_like_it(folder, monkeypatch):
    """Fails if the folder is looked at and not what Python would import."""
    installed(folder, monkeypatch, CANARY + OWN)
    (folder / "fresh_package.py").write_text(OWN)
    assert not is_own("fresh_package.Own")


def test_trust_of_nothing_is_explained(capsys):
    text = failure(capsys, "fit", "--config", "tiny", "--trust")
    assert text == "--trust needs a value: a package whose classes files may name"


def test_a_file_cannot_trust_by_itself(folder, capsys):
    """Fails if `trust` is read from configuration files."""
    (folder / "from.yaml").write_text("trust: os\n")
    arguments = ["fit", "--config", "tiny", "--config", "from.yaml"]
    assert "has no setting 'trust'" in failure(capsys, *arguments)


def test_a_pickle_with_code_is_refused_and_not_run(trained, folder, capsys):
    """Fails if a checkpoint is read with `weights_only=False`."""

    class Evil:
        def __reduce__(self):
            return (open, ("canary", "w"))

    content = torch.load(trained, weights_only=True)
    torch.save({**content, "callbacks": Evil()}, "evil.ckpt")
    assert "evil.ckpt: " in failure(capsys, "test", "--ckpt_path", "evil.ckpt")
    assert not (folder / "canary").exists()


@pytest.mark.parametrize("section", ["hyper_parameters", "datamodule_hyper_parameters"])
def test_a_function_of_the_file_does_not_make_the_model(trained, folder, capsys, section):
    """Fails if `_instantiator` is left to Lightning, which refuses any but its own."""
    content = torch.load(trained, weights_only=True)
    content[section]["_instantiator"] = "fresh_maker.make"
    (folder / "fresh_maker.py").write_text(CANARY)
    torch.save(content, "evil.ckpt")
    assert main(["test", "--ckpt_path", "evil.ckpt"]) == 0
    assert not (folder / "canary").exists()


def test_the_data_of_a_checkpoint_are_a_puzzle_family(trained, folder, capsys):
    """Fails if any class of recurlight may stand for the data."""
    content = torch.load(trained, weights_only=True)
    content["datamodule_hyper_parameters"]["_class_path"] = "recurlight.MixerCell"
    torch.save(content, "evil.ckpt")
    assert "MixerCell is no PuzzleData" in failure(capsys, "test", "--ckpt_path", "evil.ckpt")
