# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
import pytest
import torch

import recurlight.cli.app
from recurlight.__main__ import COMMANDS, main

from .fixtures import cache, failure, folder, trained


def test_another_architecture_is_refused_before_the_run(trained, capsys):
    text = failure(capsys, "test", "--ckpt_path", trained, "--model.width", "16")
    assert text.startswith("the checkpoint is of another architecture: model.width is 8 there and 16 here, ")
    assert "more differences" in text
    other = ["--model.refiner", "SingleRefiner", "--model.refiner.cell", "MixerCell"]
    text = failure(capsys, "test", "--ckpt_path", trained, *other)
    assert "model.refiner is recurlight.TwoLevelRefiner there and recurlight.SingleRefiner here, " in text


@pytest.mark.parametrize("name", ["gone.ckpt", "broken.ckpt", "other.ckpt"])
def test_checkpoints_that_cannot_be_read_are_named(folder, capsys, name):
    (folder / "broken.ckpt").write_bytes(b"PK\x03\x04 nothing of use")
    torch.save([1, 2], folder / "other.ckpt")
    assert failure(capsys, "test", "--ckpt_path", name).startswith(f"--ckpt_path {name}: ")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--trainer.max_step", "3"], ["trainer.max_step", "did you mean 'max_steps'"]),
        (["--model.widht", "3"], ["model.widht", "RecursiveModule", "did you mean 'width'"]),
        (["--model.truncation.cuont", "3"], ["model.truncation.cuont", "LastCycles", "did you mean 'count'"]),
        (
            ["--model.truncation", "LastCycle"],
            ["'LastCycle'", "GradientTruncation", "did you mean 'LastCycles'"],
        ),
        (["--model.truncation", "GradientTruncation"], ["abstract", "EveryUpdate"]),
        (["--model.truncation", "recurlight.FixedHalting"], ["is no GradientTruncation", "EveryUpdate"]),
        (["--model.optimizer", "AdmW"], ["model.optimizer", "did you mean 'AdamW'"]),
        (["--model.optimizer.llr", "1"], ["model.optimizer.llr", "AdamATan2"]),
        (["--data.sizee", "4"], ["data.sizee", "SudokuData", "did you mean 'size'"]),
        (["--model.width", "wide"], ["model.width: expected a whole number, got 'wide'"]),
        (["--model.width="], ["model.width: expected a whole number, got ''"]),
        (["--model.halting", "null"], ["model.halting: expected Halting, got null"]),
        (["--model.refiner.latent", "mine.Cell"], ["mine.Cell cannot be found: No module named 'mine'"]),
        (["--model.truncation.count", "0"], ["LastCycles"]),
        (["--trainer.callbacks", "[EMAWeightAverging]"], ["did you mean 'EMAWeightAveraging'"]),
        (["--config", "tinny"], ["--config tinny is neither a file nor a recipe", "did you mean 'tiny'"]),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, parts):
    text = failure(capsys, "fit", "--config", "tiny", *arguments)
    for part in parts:
        assert part in text


def test_a_cell_is_none_of_the_other_modules(capsys):
    """Breaks when halting policies, which are modules too, are offered as cells."""
    text = failure(capsys, "fit", "--config", "tiny", "--model.refiner.latent", "3")
    known = text.partition("expected Module, got '3'; known: ")[2]
    ours = [name for name in known.split(", ") if name.endswith("Cell")]
    assert {"ConvTransformerCell", "MixerCell", "TransformerCell"} <= {*ours}  # tests define more modules
    assert "Halting" not in text
    text = failure(capsys, "fit", "--config", "tiny", "--model.refiner.latent", "Linaer")
    assert text.endswith("did you mean 'Linear'?")


def test_mistakes_in_a_file_name_the_file(folder, capsys):
    (folder / "over.yaml").write_text("model: {truncation: {init_args: {cuont: 3}}}")
    text = failure(capsys, "fit", "--config", "tiny", "--config", "over.yaml")
    assert text.startswith("over.yaml: model.truncation.cuont: ")


def test_missing_settings_are_listed(capsys):
    text = failure(capsys, "fit", "--data", "SudokuData")
    assert text.startswith("missing: model.refiner, model.truncation, model.halting; ")
    assert "model.halting" in failure(capsys, "fit", "--model.halting.bias", "1")


def test_errors_of_the_data_are_one_line(capsys):
    text = failure(capsys, "fit", "--config", "tiny", "--data.source", "csv", "--data.path", "nowhere")
    assert "nowhere" in text


def test_unintended_errors_keep_their_traceback(monkeypatch):
    def broken(self, *_):
        raise KeyError("a bug")

    monkeypatch.setattr(recurlight.cli.app.RecursiveModule, "training_step", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["fit", "--config", "tiny"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fti"], "'fti' is not a command; did you mean 'fit'?"),
        (["--config", "tiny", "fit"], "the command comes first: recurlight fit --config ..."),
        (
            ["--config", "tiny"],
            f"the command comes first: recurlight {'|'.join(COMMANDS)} --config ...",
        ),
    ],
)
def test_a_wrong_start_is_explained(capsys, arguments, message):
    assert message in failure(capsys, *arguments)


def test_evaluation_that_would_run_nothing(capsys):
    message = failure(capsys, "fit", "--config", "tiny", "--model.eval_cycles", "0")
    assert "RecursiveModule got eval_cycles=0: give 1 or more" in message
