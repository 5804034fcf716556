# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight calibrate`."""

import re
import shutil

import pytest
import torch

from recurlight import ConfidentJudge, RecursiveModule
from recurlight.__main__ import main

from ..fixtures import cache, failure, folder, trained


@pytest.fixture
def checkpoint(trained, folder):
    shutil.copy(trained, folder / "x.ckpt")
    return "x.ckpt"


@pytest.fixture
def half_right(monkeypatch):
    """Call every other answer right, after the last segment alone."""
    from recurlight.losses import SequenceLoss

    asked = []

    def right(self, logits, labels):
        asked.append(len(labels))
        late = len(asked) % 2 == 0  # of two segments
        return (torch.arange(len(labels)) % 2 == 0) & torch.tensor(late)

    monkeypatch.setattr(SequenceLoss, "right", right)


@pytest.mark.parametrize("output", [[], ["--output", "new.ckpt"]])
def test_the_rule_is_written_and_the_weights_are_not_touched(checkpoint, half_right, capsys, output):
    """Fails if anything but the settings of evaluation changes, or another rule is written than printed."""
    before = torch.load(checkpoint, weights_only=True)
    asked = ["--data.num_val", "8", "--loss", "0.5"]
    assert main(["calibrate", "--ckpt_path", checkpoint, *asked, *output]) == 0
    text = capsys.readouterr().out
    assert "8 validation puzzles, 2 segments" in text
    assert "<- chosen" in text
    assert "with 95 % confidence, to lose at most 50.00% of all answers" in text
    assert "calibration error over all segments" in text
    target = output[-1] if output else checkpoint
    after = torch.load(target, weights_only=True)
    rule = after["hyper_parameters"].pop("eval_halting")
    assert rule["class_path"] == "recurlight.ConfidentJudge"
    before["hyper_parameters"].pop("eval_halting")
    assert before["hyper_parameters"] == after["hyper_parameters"]
    assert before.keys() == after.keys()
    weights = after["state_dict"]
    assert all(torch.equal(weight, weights[name]) for name, weight in before["state_dict"].items())
    model = RecursiveModule.load_from_checkpoint(target)
    assert model.recursion.stopping == ConfidentJudge(rule["init_args"]["threshold"])


def test_what_cannot_be_calibrated_is_one_line(checkpoint, capsys):
    assert "give its checkpoint, --ckpt_path FILE" in failure(capsys, "calibrate")
    line = failure(capsys, "calibrate", "--ckpt_path", checkpoint, "--data.num_val", "0")
    assert "no validation puzzles" in line or "num_val" in line
    assert "wrong after every segment" in failure(capsys, "calibrate", "--ckpt_path", checkpoint)
    line = failure(capsys, "calibrate", "--ckpt_path", checkpoint, "--depth", "3")
    assert "recurlight calibrate has no setting 'depth'" in line


def test_flags_choose_the_rule_of_predictions(checkpoint, capsys):
    """Fails if the command line cannot make a rule, or one of two."""
    rule = ["--model.eval_halting", "Both", "--model.eval_halting.first", "StableAnswer"]
    rule += ["--model.eval_halting.second", "ConfidentAnswer", "--model.eval_halting.second.threshold", "0.5"]
    assert main(["predict", "--ckpt_path", checkpoint, *rule]) == 0
    assert "4 predictions" in capsys.readouterr().out


@pytest.mark.parametrize("flag", [["--confidence", "1"], ["--confidence=1", "--output", "new.jsonl"]])
def test_predict_may_say_that_it_does_not_know(checkpoint, capsys, flag):
    assert main(["predict", "--ckpt_path", checkpoint, *flag]) == 0
    file = "new.jsonl" if "--output" in flag else "predictions.jsonl"
    told = capsys.readouterr().out
    assert re.search(f"4 predictions, 4 not sure enough to answer.*: {file}$", told, re.M)
    again = failure(capsys, "predict", "--ckpt_path", checkpoint, *flag)
    assert again.startswith(f"{file} exists already: give --output")


def test_a_confidence_out_of_range_is_one_line(checkpoint, capsys):
    assert "confidence" in failure(capsys, "predict", "--ckpt_path", checkpoint, "--confidence", "1.5")
