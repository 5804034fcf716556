# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`--ckpt_path last` and `auto`: the newest checkpoint of this run, wherever it writes them."""

import os

import pytest

from recurlight.__main__ import main
from recurlight.cli.checkpoint import find_last
from recurlight.cli.config import split
from recurlight.cli.merge import overlay
from recurlight.cli.request import prepare
from recurlight.errors import CheckpointError

from .fixtures import cache, failure, folder

FIT = ["fit", "--config", "tiny", "--trainer.enable_progress_bar", "false"]


def found_by(trainer, words):
    """Return what `last` finds for settings of the trainer with flags laid over them."""
    config = {"trainer": trainer}
    for setting in split(words).settings:
        config = overlay(config, setting)
    return find_last("last", True, config["trainer"], "name")


def touch(path, age):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (age, age))


def test_nothing_to_resume_is_an_error_unless_told(folder, capsys):
    """Fails if a run that should go on starts from the beginning without a word."""
    text = failure(capsys, *FIT, "--ckpt_path", "last")
    assert text.startswith(
        "--ckpt_path last: there is no runs/tiny/*/checkpoints/*.ckpt; name a file, or use "
    )
    assert "--ckpt_path auto" in text
    assert not (folder / "runs").exists()


def test_evaluation_never_starts_from_nothing(capsys):
    """Fails if `test --ckpt_path auto` measures a model that was never trained."""
    for command in ("test", "validate", "predict"):
        for word in ("last", "auto"):
            assert "there is no runs/tiny/" in failure(
                capsys, command, "--config", "tiny", "--ckpt_path", word
            )


def test_a_run_is_started_and_resumed_by_the_same_words(folder, capsys):
    """Fails if the run's own folder is not searched, or the checkpoint's settings are not taken up."""
    automatic = [*FIT, "--ckpt_path=auto"]
    assert main([*automatic, "--model.exploration", "0.4"]) == 0
    capsys.readouterr()
    request = prepare("fit", automatic[1:], folder / "recipes")
    first = str(folder / "runs/tiny/version_0/checkpoints/last.ckpt")
    assert os.path.abspath(request.config["ckpt_path"]) == first
    assert request.config["model"]["exploration"] == 0.4
    assert main([*automatic, "--trainer.max_epochs", "2"]) == 0
    again = prepare("test", ["--config", "tiny", "--ckpt_path", "last"], folder / "recipes")
    assert "version_1" in again.config["ckpt_path"]
    assert again.checkpoint["global_step"] == 4


@pytest.mark.parametrize(
    ("trainer", "words", "place"),
    [
        ({}, [], "runs/name/version_3"),
        ({}, ["--trainer.logger.save_dir", "logs", "--trainer.logger.init_args.name=n"], "logs/n/version_0"),
        ({"logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "csv"}}}, [], "csv/name/mine"),
        ({"logger": [{"class_path": "CSVLogger", "init_args": {"save_dir": "a", "name": "b"}}]}, [], "a/b/v"),
        ({"logger": [{"class_path": "CSVLogger", "init_args": {"save_dir": "a"}}]}, [], "a/lightning_logs/v"),
        ({"logger": True, "default_root_dir": "root"}, [], "root/lightning_logs/version_1"),
        ({"logger": False}, ["--trainer.default_root_dir", "root"], "root"),
        ({"default_root_dir": "root"}, [], "root/name/version_1"),
        ({}, ["--trainer.default_root_dir=root", "--trainer.logger.save_dir", "logs"], "logs/name/version_1"),
        ({"logger": {"save_dir": "csv"}}, ["--trainer.logger", "false"], ""),
    ],
)
def test_it_is_where_the_logger_writes(folder, trainer, words, place):
    """Fails if a setting of the logger is overlooked, in a configuration or as a flag."""
    found = folder / place / "checkpoints/last.ckpt"
    touch(found, 2)
    assert os.path.abspath(found_by(trainer, words)) == str(found)


def test_a_folder_may_have_a_space(folder):
    """Fails if the flag is taken for several folders."""
    touch(folder / "my runs/last.ckpt", 1)
    words = ["--trainer.callbacks.dirpath", "my runs"]
    assert found_by({}, words) == "my runs/last.ckpt"


def test_it_is_the_newest_of_all(folder):
    """Fails if only files of one name, or of the highest version, or of one callback are looked at."""
    touch(folder / "runs/name/version_10/checkpoints/last.ckpt", 1)
    touch(folder / "runs/other/version_0/checkpoints/last.ckpt", 9)
    touch(folder / "kept/step=5.ckpt", 3)
    callbacks = ["ModelSummary", {"class_path": "ModelCheckpoint", "init_args": {"dirpath": "kept"}}]
    assert find_last("last", True, {}, "name") == "runs/name/version_10/checkpoints/last.ckpt"
    assert find_last("last", True, {"callbacks": callbacks}, "name") == "kept/step=5.ckpt"
    touch(folder / "runs/name/version_2/checkpoints/epoch=1.ckpt", 4)
    assert "version_2" in find_last("last", True, {"callbacks": callbacks}, "name")


def test_the_error_names_every_place():
    """Fails if the message leaves out where it looked."""
    callbacks = {"class_path": "ModelCheckpoint", "init_args": {"dirpath": "kept"}}
    trainer = {"callbacks": callbacks}
    with pytest.raises(CheckpointError, match=r"no kept/\*.ckpt nor runs/x/\*/checkpoints/\*.ckpt"):
        find_last("last", True, trainer, "x")
    assert find_last("auto", True, trainer, "x") is None


def test_a_config_may_say_it(folder, capsys):
    """Fails if the word is understood as a flag only."""
    (folder / "again.yaml").write_text("ckpt_path: last\n")
    assert "there is no runs/tiny/" in failure(capsys, *FIT, "--config", "again.yaml")
