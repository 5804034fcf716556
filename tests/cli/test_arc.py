"""ARC through the command line: training, votes, a submission, tasks never seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from data.arc.made import EVALUATION, TRAINING, small, write_kaggle
from lightning.pytorch import Trainer

from recurlight.__main__ import main
from recurlight.callbacks import SubmissionWriter
from recurlight.errors import IncompatibleComponents

QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.max_steps", "2"]
TINY = ["--model.width", "16", "--data.batch_size", "4", "--data.epoch_samples", "8", "--data.canvas", "4"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def recurlight(subcommand, *flags):
    return main([subcommand, *flags])


def fit(folder, *flags, recipe="trm_arc1"):
    data = ["--data.source", "json", "--data.path", str(folder / "arc")]
    assert recurlight("fit", "--config", recipe, "--config", "small_arc", *data, *TINY, *QUIET, *flags) == 0
    return str(folder / f"runs/{recipe}/version_0/checkpoints/last.ckpt")


@pytest.mark.parametrize("recipe", ["trm_arc1", "hrm_arc1", "urm_arc1"])
def test_train_and_test(folder, capsys, recipe):
    """Fails if a checkpoint loses its rows, identities or sets, or testing asks other variants."""
    small(folder / "arc")
    checkpoint = fit(folder, recipe=recipe)
    rows = torch.load(checkpoint, weights_only=True)["state_dict"]["recursion.encoder.task_table.rows"]
    assert rows.shape == (4 * 8, 16)
    assert rows.any(1).sum() > 1
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    capsys.readouterr()
    assert recurlight("test", "--ckpt_path", checkpoint, "--data.report", "out", *quiet) == 0
    text = capsys.readouterr().out
    assert "test pairs of 2 tasks answered by vote\nattempts       1       2" in text
    assert "test/pass_at_2" in text
    submission = json.loads((folder / "out/submission.json").read_text())
    assert {name: len(pairs) for name, pairs in submission.items()} == {"cc": 1, "dd": 2}
    assert (folder / "out/tasks.csv").read_text().count("\n") == 4


def test_a_submission_for_tasks_without_answers(folder, capsys):
    """Fails if predicting needs answers, or scoring does without."""
    small(folder / "arc", solved=False)
    checkpoint = fit(folder)
    assert "there are no puzzles to validate on" in capsys.readouterr().out
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert recurlight("predict", "--ckpt_path", checkpoint, *quiet) == 0
    text = capsys.readouterr().out
    assert "test pairs of 2 tasks answered by vote\nwritten: submission.json and tasks.csv" in text
    assert list(json.loads(Path("submission.json").read_text())) == ["cc", "dd"]
    assert not Path("predictions.jsonl").exists()
    for subcommand in ("test", "validate"):
        assert recurlight(subcommand, "--ckpt_path", checkpoint, *quiet) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("recurlight: error: the set 'evaluation' has test pairs without answers")


def test_tasks_never_seen(folder, capsys):
    """Fails if a model without task vectors cannot be trained on shown demonstrations."""
    small(folder / "arc")
    fit(folder, "--data.held_out", "true", "--data.demonstrations", "1", "--model.prefix", "0")
    assert "answered by vote" in capsys.readouterr().out


def test_sets_may_be_named_on_the_command_line(folder, capsys):
    """Fails if a list of sets is not read, or a task in two sets is taken twice."""
    small(folder / "arc")
    flags = ["--data.source", "json", "--data.path", str(folder / "arc"), *TINY, *QUIET]
    flags += ["--data.train_sets", "[training, evaluation]"]
    assert recurlight("fit", "--config", "trm_arc1", "--config", "small_arc", *flags) == 2
    assert "the set 'evaluation' is in data.train_sets and is data.eval_set" in capsys.readouterr().err


def test_a_checkpoint_of_other_tasks(folder, capsys):
    """Fails if rows of other tasks are taken for ours, or `resize` cannot be set by a flag."""
    small(folder / "arc")
    checkpoint = fit(folder)
    again = ["--ckpt_path", checkpoint, "--data.augmentations", "3"]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    capsys.readouterr()
    assert recurlight("test", *again, *quiet) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the checkpoint has vectors for 32 tasks, the data have 16: give the data's settings" in error
    resize = ["--model.encoder.init_args.task_table.init_args.resize", "true"]
    assert recurlight("test", *again, *quiet, *resize) == 0
    named = {"ee" if name == "cc" else name: one for name, one in EVALUATION.items()}
    write_kaggle(write_kaggle(folder / "other", "training", TRAINING), "evaluation", named)
    for other in (["--data.path", "other"], ["--data.seed", "5"]):
        assert recurlight("test", "--ckpt_path", checkpoint, *other, *quiet) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "the model was trained on other tasks than these data have, or on the same in another" in error


def test_a_submission_of_other_data_is_refused():
    """Fails if votes on other puzzles end in a traceback."""
    with pytest.raises(IncompatibleComponents, match="votes on ArcData, not NoneType: use PredictionWriter"):
        SubmissionWriter().on_predict_start(Trainer(logger=False, accelerator="cpu"), None)
