# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Checkpoints of Python programs and of the command line are the same."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from recurlight import (
    AdamATan2,
    CorrectnessHalting,
    LastCycles,
    LinearWarmup,
    MixerCell,
    RecursiveModule,
    SudokuData,
    TwoLevelRefiner,
)
from recurlight.__main__ import main
from recurlight.checkpoints.contents import DATA, FORMAT, MODEL, STAMP

from .fixtures import built, cache, failure, folder, printed, trained

SGD = ["--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", "0.25"]
WARMUP = ["--model.scheduler", "LinearWarmup", "--model.scheduler.warmup", "3"]
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def program(path, **settings):
    """What a user's script does, with the settings of `tiny`."""
    data = SudokuData(
        size=4, num_train=8, num_val=4, num_test=4, batch_size=4, epoch_samples=8, eval_batch_size=None
    )
    model = RecursiveModule.for_data(
        data,
        **{
            "refiner": TwoLevelRefiner(MixerCell(), latent_steps=1),
            "truncation": LastCycles(1),
            "halting": CorrectnessHalting(),
            "width": 8,
            "cycles": 2,
            "max_segments": 2,
            **settings,
        },
    )
    trainer = Trainer(max_steps=1, enable_checkpointing=False, **QUIET)
    trainer.fit(model, data)
    trainer.save_checkpoint(path)
    return model


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ([], {}),
        (SGD, {"optimizer": partial(torch.optim.AdamW, lr=0.25)}),
        (WARMUP, {"scheduler": partial(LinearWarmup, warmup=3), "optimizer": partial(AdamATan2)}),
    ],
)
def test_a_program_and_the_command_line_write_the_same(folder, flags, settings):
    """Fails if a default is written by one of them only, or a class under another name."""
    assert main(["fit", "--config", "tiny", "--trainer.max_steps", "1", *flags]) == 0
    program("program.ckpt", **settings)
    one = torch.load("runs/tiny/version_0/checkpoints/last.ckpt", weights_only=True)
    other = torch.load("program.ckpt", weights_only=True)
    for section in (MODEL, DATA, STAMP):
        assert one[section] == other[section]


def test_a_program_s_checkpoint_is_enough_for_the_command_line(folder, capsys):
    """Fails if the program's data are not recorded."""
    program("program.ckpt")
    assert main(["test", "--ckpt_path", "program.ckpt"]) == 0
    assert "exact accuracy after segments" in capsys.readouterr().out
    config = printed(capsys, "test", "--ckpt_path", "program.ckpt")
    assert config["data"]["init_args"]["num_test"] == 4
    assert config["model"]["optimizer"]["class_path"] == "recurlight.AdamATan2"


def test_the_command_line_s_checkpoint_is_enough_for_a_program(trained, monkeypatch, folder):
    """Fails if the settings that follow from the data are left out."""
    model = RecursiveModule.load_from_checkpoint(trained)
    assert model.recursion.sizes.vocab == 6
    assert model.optimizer([torch.zeros(1, requires_grad=True)]).defaults["lr"] == 0.01
    same = built(monkeypatch, folder, "test", "--ckpt_path", trained).model
    same.load_state_dict(torch.load(trained, weights_only=True)["state_dict"])
    assert model.description == same.description
    tokens = torch.ones(1, 16, dtype=torch.int64)
    inputs = (tokens, torch.zeros(1, dtype=torch.int64))
    assert torch.equal(model.recursion.encoder(*inputs), same.recursion.encoder(*inputs))


def test_training_goes_on_from_a_program_s_checkpoint(folder):
    program("program.ckpt")
    arguments = ["fit", "--ckpt_path", "program.ckpt", "--trainer.max_steps", "2"]
    quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    assert main([*arguments, *quiet]) == 0
    saved = torch.load("runs/run/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert saved[MODEL] == torch.load("program.ckpt", weights_only=True)[MODEL]


def test_what_a_program_could_not_write_must_be_set_again_for_training(folder, capsys):
    """Fails if the default optimizer silently takes the place of the program's own."""
    with pytest.warns(UserWarning, match="will not hold optimizer"):
        program("program.ckpt", optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.5))
    assert main(["test", "--ckpt_path", "program.ckpt"]) == 0
    fit = ["fit", "--ckpt_path", "program.ckpt", "--trainer.max_steps", "2", "--trainer.accelerator", "cpu"]
    text = failure(capsys, *fit)
    assert text.startswith("--ckpt_path program.ckpt: the model's optimizer could not be written")
    assert text.endswith("set it again, --model.optimizer ...")
    assert main([*fit, "--model.optimizer", "SGD", "--model.optimizer.lr", "0.5"]) == 0


def test_a_model_of_a_class_that_is_not_there_is_refused(trained, folder, capsys):
    """Fails if `RecursiveModule` silently takes the place of a class that derives from it."""
    content = torch.load(trained, weights_only=True)
    content[STAMP]["model"] = "fresh_nowhere.Own"
    torch.save(content, "own.ckpt")
    text = failure(capsys, "test", "--ckpt_path", "own.ckpt")
    assert text.startswith("--ckpt_path own.ckpt: model.class_path: there is no module 'fresh_nowhere'")


@pytest.mark.parametrize("subcommand", ["test", "fit"])
def test_a_newer_format_is_refused(trained, folder, capsys, subcommand):
    content = torch.load(trained, weights_only=True)
    content[STAMP] |= {"format": FORMAT + 1, "recurlight": "7.8.9"}
    torch.save(content, "newer.ckpt")
    text = failure(capsys, subcommand, "--ckpt_path", "newer.ckpt")
    assert text.startswith("--ckpt_path newer.ckpt: the checkpoint was written by recurlight 7.8.9, in")


def test_a_folder_is_no_checkpoint(trained, folder, capsys):
    """Fails if a folder is opened as a file much later."""
    parent = Path(trained).parent
    flags = ["--config", "tiny", "--ckpt_path"]
    assert failure(capsys, "test", *flags, str(parent)) == (
        f"--ckpt_path {parent}: this is a folder; name a file, such as {trained}"
    )
    (folder / "empty/latest").mkdir(parents=True)
    (folder / "empty/last.ckpt").symlink_to("gone.ckpt")
    assert "empty: this is a folder; there is no checkpoint in it" in failure(capsys, "test", *flags, "empty")


@pytest.mark.parametrize("subcommand", ["test", "validate", "predict"])
def test_untrained_weights_are_not_measured_in_silence(subcommand):
    """Fails if a forgotten --ckpt_path shows only in the figures."""
    with pytest.warns(UserWarning, match=f"{subcommand} without --ckpt_path: the weights are the initial"):
        assert main([subcommand, "--config", "tiny"]) == 0


def test_averaging_is_not_dropped_in_silence(trained, recwarn):
    """Fails if a run that goes on from averaged weights, without its recipe, says nothing of it.

    Lightning warns of callbacks whose state a checkpoint holds; `_quiet` must not silence that in `fit`.
    """
    settings = ["--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"]
    with pytest.warns(UserWarning, match=r"add the following callbacks: \['EMAWeightAveraging'\]"):
        assert main(["fit", "--ckpt_path", trained, *settings]) == 0
    recwarn.clear()
    assert main(["fit", "--config", "tiny", "--config", "averaged", "--ckpt_path", trained, *settings]) == 0
    assert not [warning for warning in recwarn if "following callbacks" in str(warning.message)]
