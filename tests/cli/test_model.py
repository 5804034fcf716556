# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""A class of one's own that derives from `RecursiveModule`, by command lines alone."""

import sys

import pytest
import torch
import yaml

from recurlight.__main__ import main

from .fixtures import TINY, built, cache, failure, folder, printed, trained
from .resumed import differences
from .test_help import helped

MINE = '''"""Models as users write them."""

from torch import nn
from torch.optim import SGD

from recurlight import EveryUpdate, FixedHalting, MixerCell, RecursiveModule, SingleRefiner


class Deep(RecursiveModule):
    """Adds a share of the size of its weights to the loss.

    Args:
        depth: How much of it, in hundredths.
        settings: Those of every model.
    """

    def __init__(self, depth: int = 2, **settings) -> None:
        super().__init__(**settings)
        self.depth = depth
        self.scale = nn.Parameter(self.recursion.decoder.head.weight.new_ones(()))

    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) + 0.01 * self.depth * self.scale**2


class Other(RecursiveModule):
    """Another class, of the same settings."""


class Short(RecursiveModule):
    """Of one task, with an optimizer of its own."""

    def __init__(self, vocab_size: int, seq_len: int, cycles: int = 1) -> None:
        parts = SingleRefiner(MixerCell(multiple=8)), EveryUpdate(), FixedHalting()
        super().__init__(vocab_size, seq_len, *parts, width=8, cycles=cycles, max_segments=2)

    def configure_optimizers(self):
        return SGD(self.parameters(), lr=0.1)


class Fixing(RecursiveModule):
    """Sets itself what it passes on."""

    def __init__(self, **settings) -> None:
        super().__init__(cycles=1, **settings)


class Nothing(RecursiveModule):
    def training_step(self, batch):
        return None


class Rows(RecursiveModule):
    def training_step(self, batch):
        return self.loss(self(batch).logits, batch.labels)


class Logits(RecursiveModule):
    def forward(self, batch):
        return super().forward(batch).logits


class Cell(nn.Module):
    """No model."""


def make(depth: int = 2):
    return Deep(depth)
'''

DEEP = "runs/tiny/version_0/checkpoints/last.ckpt"


def forget():
    for name in [name for name in sys.modules if name.startswith("own_models")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def source(tmp_path_factory, cache):
    """A folder with the classes, a recipe and what `fit` has left of two steps."""
    folder = tmp_path_factory.mktemp("deep")
    (folder / "own_models.py").write_text(MINE)
    (folder / "tiny.yaml").write_text(TINY)
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(cache))
        patch.setattr(sys, "path", list(sys.path))
        patch.chdir(folder)
        words = ["--config", "tiny.yaml", "--model", "own_models.Deep", "--model.depth", "3"]
        assert main(["fit", *words]) == 0
    return folder


@pytest.fixture(autouse=True)
def own(folder, source, monkeypatch):
    """The classes in the current folder, and the checkpoint of one in a place of its own."""
    monkeypatch.syspath_prepend(folder)  # `built` goes past what puts it there
    (folder / "own_models.py").write_text(MINE)
    yield str(source / DEEP)
    forget()


def test_it_is_examined(own, capsys):
    """Fails if the doctor makes another class, or loads other weights than its own."""
    capsys.readouterr()
    assert main(["doctor", "--ckpt_path", own]) == 0
    assert "fine      halting   calibration error" in capsys.readouterr().out


def test_it_trains_and_says_so_in_what_it_saves(source, own):
    """Fails if `RecursiveModule` takes its place, or its own weights are not trained."""
    saved = torch.load(own, weights_only=True)
    assert saved["recurlight"]["model"] == "own_models.Deep"
    assert saved["recurlight"]["unrecorded"] == {}
    assert saved["hyper_parameters"]["depth"] == 3
    assert saved["state_dict"]["scale"] < 1
    config = yaml.safe_load((source / "runs/tiny/version_0/config.yaml").read_text())
    assert list(config["model"])[:2] == ["class_path", "depth"]


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "own_models.Deep", "--model.depth", "4"],
        ["--model.class_path=own_models.Deep", "--model.init_args.depth=4"],
        ["--model", "{class_path: own_models.Deep, depth: 4}"],
        ["--config", "flat.yaml"],
        ["--config", "lightning.yaml"],
        ["--config", "other.yaml", "--model", "own_models.Deep"],
    ],
)
def test_every_way_of_naming_it_means_the_same(folder, capsys, words):
    """Fails if a form loses what the recipe sets, or another class the arguments of the one before it."""
    (folder / "flat.yaml").write_text("model: {class_path: own_models.Deep, depth: 4}")
    (folder / "lightning.yaml").write_text("model: {class_path: own_models.Deep, init_args: {depth: 4}}")
    (folder / "other.yaml").write_text("model: {class_path: own_models.Other, depth: 4}")
    config = printed(capsys, "fit", "--config", "tiny", *words)
    assert config["model"]["class_path"] == "own_models.Deep"
    assert (config["model"]["depth"], config["model"]["width"]) == (4, 8)
    assert config["model"]["refiner"]["class_path"] == "recurlight.TwoLevelRefiner"
    (folder / "printed.yaml").write_text(yaml.safe_dump(config))
    assert printed(capsys, "fit", "--config", "printed.yaml") == config


def test_the_class_of_the_library_is_named_like_any_other(folder, capsys):
    words = ["fit", "--config", "tiny", "--config", "flat.yaml", "--model", "RecursiveModule"]
    (folder / "flat.yaml").write_text("model: {class_path: own_models.Deep}")
    assert printed(capsys, *words) == printed(capsys, "fit", "--config", "tiny")


def test_its_checkpoint_brings_it(own, folder, capsys, monkeypatch):
    """Fails if a checkpoint is evaluated, or goes on, as a model of another class or with other settings."""
    config = printed(capsys, "test", "--ckpt_path", own)
    assert (config["model"]["class_path"], config["model"]["depth"]) == ("own_models.Deep", 3)
    assert main(["test", "--ckpt_path", own, "--trainer.accelerator", "cpu"]) == 0
    assert "; OneSegment, Deep" in capsys.readouterr().out
    made = built(monkeypatch, folder, "predict", "--ckpt_path", own, "--model.depth", "5")
    assert (type(made.model).__name__, made.model.depth) == ("Deep", 5)


def test_it_resumes_bit_for_bit(own, folder):
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=2"]
    assert main(["fit", "--ckpt_path", own, *quiet]) == 0
    whole = ["--config", "tiny", "--model", "own_models.Deep", "--model.depth", "3", *quiet]
    assert main(["fit", *whole]) == 0
    runs = ("run", "tiny")
    one, two = (torch.load(f"runs/{run}/version_0/checkpoints/last.ckpt", weights_only=True) for run in runs)
    assert one["global_step"] == 4
    for part in ("state_dict", "optimizer_states", "hyper_parameters", "run", "recurlight"):
        assert differences(one[part], two[part]) == []


@pytest.mark.parametrize("recipe", [[], ["--config", "tiny"]])
def test_its_weights_begin_another_run(own, folder, monkeypatch, recipe, capsys):
    """Fails if the class is not made anew from the checkpoint alone, or is where a recipe stands."""
    made = built(monkeypatch, folder, "fit", "--weights", own, *recipe)
    assert type(made.model).__name__ == ("RecursiveModule" if recipe else "Deep")
    saved = torch.load(own, weights_only=True)["state_dict"]
    assert all(torch.equal(weight, saved[name]) for name, weight in made.model.state_dict().items())


def test_a_stranger_s_checkpoint_does_not_choose_its_code(trained, folder, capsys):
    content = torch.load(trained, weights_only=True)
    content["recurlight"]["model"] = "subprocess.Popen"
    torch.save(content, "strange.ckpt")
    text = failure(capsys, "test", "--ckpt_path", "strange.ckpt")
    assert text.startswith("--ckpt_path strange.ckpt: model.class_path: 'subprocess.Popen' was not imported")


def test_a_class_with_other_settings_takes_what_it_takes(folder, monkeypatch):
    """Fails if sizes or the default optimizer are forced on a class that does not take them."""
    (folder / "short.yaml").write_text(
        "model: {class_path: own_models.Short, cycles: 2}\ndata: {class_path: SudokuData, init_args: "
        "{size: 4, num_train: 8, num_val: 4, num_test: 4, batch_size: 4, epoch_samples: 8}}"
    )
    quiet = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    assert main(["fit", "--config", "short.yaml", *quiet]) == 0
    path = "runs/short/version_0/checkpoints/last.ckpt"
    assert torch.load(path, weights_only=True)["optimizer_states"][0]["param_groups"][0]["lr"] == 0.1
    made = built(monkeypatch, folder, "test", "--ckpt_path", path)
    assert made.model.recursion.cycles == 2


def test_help_shows_its_settings(capsys):
    for words in (["--model.help", "own_models.Deep"], ["--model.help=own_models.Deep"]):
        shown = helped(capsys, "fit", *words)
        assert "How much of it, in hundredths." in shown
        assert "--model.width" in shown
        assert "--trainer" not in shown
    assert helped(capsys, "fit", "--model.help") == helped(capsys, "fit", "--help", "model")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own_models.Deeep", "model.class_path: own_models has no 'Deeep'; did you mean 'Deep'?"),
        ("own_models.Cell", "model.class_path: own_models.Cell is no RecursiveModule; known: "),
        ("own_models.make", "model.class_path: own_models.make is no RecursiveModule"),
        ("torch.nn.Linear", "model.class_path: torch.nn.Linear is no RecursiveModule; known: "),
        ("RecursiveModul", "model.class_path: 'RecursiveModul' is not a known RecursiveModule; did you mean"),
        ("{class_path: own_models.Deep, dept: 3}", "model.dept: Deep has no setting 'dept'; did you mean"),
        ("{class_path: own_models.Deep, depth: x}", "model.depth: expected a whole number, got 'x'"),
        ("{class_path: own_models.Deep, vocab_size: 3}", "model.vocab_size: this follows from data."),
        ("own_models.Fixing", "tiny: model.cycles: Fixing has no setting 'cycles'"),
        ("own_models.Short", "tiny: model.refiner: Short has no setting 'refiner'; known: vocab_size, "),
        ("own_models.Nothing", "Nothing.training_step returned None: return the loss, one number with gra"),
        ("own_models.Rows", "Rows.training_step returned a tensor of shape (4,) without gradient: return "),
    ],
)
def test_what_cannot_be_used_is_one_line(folder, capsys, model, message):
    text = failure(capsys, "fit", "--config", "tiny", "--model", model)
    assert text.startswith(message)


def test_a_file_is_told_by_its_name(folder, capsys):
    (folder / "deep.yaml").write_text("model: {class_path: own_models.Cell}")
    text = failure(capsys, "fit", "--config", "tiny", "--config", "deep.yaml")
    assert text.startswith("deep.yaml: model.class_path: own_models.Cell is no RecursiveModule")


def test_an_answer_that_is_no_prediction_is_one_line(folder, capsys):
    text = failure(capsys, "predict", "--config", "tiny", "--model", "own_models.Logits")
    assert text == "Logits.forward returned a Tensor: return a recurlight.types.Prediction"
