# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""What only Lightning, torch or a library behind them refuses is one line too, before the first step."""

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from recurlight.__main__ import main

from .fixtures import cache, failure, folder

FIT = ["fit", "--config", "tiny"]


@pytest.mark.parametrize(
    ("arguments", "start", "parts"),
    [
        (["--trainer.max_steps", "-5"], "trainer.max_steps: ", ["non-negative"]),
        (["--trainer.accelerator", "abacus"], "trainer.accelerator: ", ["'abacus'"]),
        (["--trainer.val_check_interval", "100"], "trainer.val_check_interval: ", ["100", "batches (2)"]),
        (["--trainer.limit_train_batches", "0.01"], "trainer.limit_train_batches: ", ["0.01"]),
        (["--trainer.accumulate_grad_batches", "0"], "trainer.accumulate_grad_batches is 0", ["1 or more"]),
        (["--trainer.check_val_every_n_epoch", "0"], "trainer.check_val_every_n_epoch is 0", ["1 or more"]),
        (
            ["--trainer.callbacks+=LearningRateMonitor", "--trainer.logger", "false"],
            "trainer.callbacks: ",
            ["LearningRateMonitor", "no logger"],
        ),
        (
            ["--trainer.callbacks+=BackboneFinetuning"],
            "BackboneFinetuning trains the part `backbone`",
            ["backbone"],
        ),
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "val_loss"],
            "EarlyStopping monitors 'val_loss'",
            ["did you mean 'val/loss'?"],
        ),
        (["--trainer.default_root_dir", "tiny.yaml/x"], "trainer.logger: ", ["tiny.yaml/x", "directory"]),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.dirpath", "tiny.yaml/x"],
            "checkpoints cannot be written to ",
            ["tiny.yaml is a file"],
        ),
        (["--ckpt_path", "best"], "--ckpt_path best: ", ["no such file; name the file of a checkpoint"]),
        (["--model.width", "0"], "width is 0: set model.width to 1 or more", []),
        (["--model.width", "-3"], "width is -3: set model.width to 1 or more", []),
        (["--model.prefix", "-1"], "prefix is -1: set model.prefix to 0 or more", []),
    ],
)
def test_settings_that_only_a_library_refuses(arguments, start, parts, folder, capsys):
    (folder / "tiny.yaml").write_text("")
    text = failure(capsys, "fit", "--config", "recipes/tiny.yaml", *arguments)
    assert text.startswith(start)
    for part in parts:
        assert part in text
    assert not list(folder.rglob("*.ckpt"))


def test_a_file_is_blamed_for_what_it_sets_alone(folder, capsys):
    (folder / "own.yaml").write_text("trainer: {max_steps: -5}")
    assert failure(capsys, *FIT, "--config", "own.yaml").startswith("own.yaml: trainer.max_steps: ")
    (folder / "own.yaml").write_text("trainer: {max_epochs: 2}")
    text = failure(capsys, *FIT, "--config", "own.yaml", "--trainer.accelerator", "abacus")
    assert text.startswith("trainer.accelerator: ")


class NoLogin(Exception):
    """What a service's own package raises."""


def test_a_library_behind_a_logger_may_refuse(monkeypatch, capsys):
    """Breaks when the errors of Lightning alone are told in one line."""

    def experiment(self):
        raise NoLogin("no key, log in first")

    monkeypatch.setattr(TensorBoardLogger, "experiment", property(experiment))
    assert failure(capsys, *FIT) == "trainer.logger: TensorBoardLogger: no key, log in first"


@pytest.mark.parametrize("hook", ["__init__", "on_fit_start"])
def test_errors_of_ones_own_code_keep_their_traceback(hook, folder):
    """Breaks when a mistake in a user's callback is told as if a setting were wrong."""
    source = f"import lightning.pytorch as pl\nclass Own(pl.Callback):\n    def {hook}(self, *_):\n"
    (folder / f"own{hook}.py").write_text(source + "        raise ValueError('a mistake')\n")
    with pytest.raises(ValueError, match="a mistake"):
        main([*FIT, f"--trainer.callbacks+=own{hook}.Own"])
