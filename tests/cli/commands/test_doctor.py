# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight doctor` on a checkpoint, on faults planted in it, and where there is nothing to examine."""

import json
import sys

import pytest
import torch

from recurlight.__main__ import main

from ..fixtures import cache, failure, folder, printed, trained


def examined(capsys, *arguments):
    """Return the findings of a command line by name."""
    capsys.readouterr()
    assert main(["doctor", "--json", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    return {finding["name"]: finding for finding in report["findings"]}


@pytest.fixture
def planted(trained, tmp_path):
    """Write the checkpoint with some of its weights replaced."""

    def plant(**weights):
        content = torch.load(trained, weights_only=True)
        for name, value in weights.items():
            content["state_dict"][f"recursion.{name.replace('__', '.')}"].fill_(value)
        torch.save(content, tmp_path / "planted.ckpt")
        return str(tmp_path / "planted.ckpt")

    return plant


def test_a_checkpoint_is_examined_on_one_screen(trained, capsys):
    """Fails if model or data are not the checkpoint's, or anything else is printed."""
    capsys.readouterr()
    assert main(["doctor", "--ckpt_path", trained]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 samples, 2 x 2 cycles: TwoLevelRefiner, LastCycles, CorrectnessHalting"
    assert len(lines) <= 24
    assert {line.split()[0] for line in lines[1:] if line[0] != " "} <= {
        "fine",
        "watch",
        "broken",
        "unjudged",
    }


def test_planted_faults_change_the_verdict_and_not_the_status(trained, planted, capsys):
    """Fails if the weights are not those of the file."""
    assert examined(capsys, "--ckpt_path", trained)["halting"]["verdict"] == "fine"
    found = examined(capsys, "--ckpt_path", planted(halting__head__bias=9.0))
    assert found["halting"]["verdict"] == "broken"
    assert found["halting"]["figures"]["calibration_error"] > 0.9


def test_flags_change_what_is_examined(trained, capsys):
    """Fails if settings of evaluation, the number of samples or a recipe's composition are ignored."""
    solver = ["--model.truncation", "ImplicitGradient", "--model.eval_segments", "5"]
    found = examined(capsys, "--ckpt_path", trained, "--samples=3", *solver)
    assert found["solver"]["verdict"] == "broken"
    assert len(found["residual"]["curves"]["segment"]) == 5
    capsys.readouterr()
    batches = ["--data.eval_batch_size", "2", "--samples", "3"]
    assert main(["doctor", "--ckpt_path", trained, *batches]) == 0
    assert capsys.readouterr().out.startswith("3 samples, ")


def test_a_picture_is_written(trained, folder):
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    assert main(["doctor", "--ckpt_path", trained, "--picture", "doctor.png"]) == 0
    assert (folder / "doctor.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_examined_is_told_in_a_line(trained, capsys, monkeypatch):
    """Fails if one of these ends in a traceback, or in a report on untrained weights."""
    untrained = "doctor examines a trained model: give its checkpoint, --ckpt_path FILE"
    assert failure(capsys, "doctor") == untrained
    assert failure(capsys, "doctor", "--config", "tiny", "--ckpt_path", "null") == untrained
    assert "--ckpt_path nowhere.ckpt: there is no such file" in failure(
        capsys, "doctor", "--ckpt_path", "nowhere.ckpt"
    )
    asked = ["doctor", "--ckpt_path", trained]
    assert "SudokuData has no validation puzzles: set data.num_val" in failure(
        capsys, *asked, "--data.num_val", "0"
    )
    assert failure(capsys, *asked, "--samples", "0") == "doctor got samples=0: give 1 or more"
    assert "invalid int value: 'x'; see: recurlight doctor --help" in failure(
        capsys, *asked, "--samples", "x"
    )
    assert "width" in failure(capsys, *asked, "--model.width", "16")
    assert "recurlight doctor has no setting 'depth'" in failure(capsys, *asked, "--depth", "3")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'recurlight[viz]'" in failure(capsys, *asked, "--picture", "x.png")


def test_the_callback_is_one_flag(capsys):
    """Fails if it has no bare name, or its settings are not written down."""
    flags = ["--trainer.callbacks+=Doctor", "--trainer.callbacks.every=5"]
    (callback,) = printed(capsys, "fit", "--config", "tiny", *flags)["trainer"]["callbacks"]
    assert callback["class_path"].rpartition(".")[2] == "Doctor"
    assert callback["init_args"] == {"every": 5, "samples": 64}


def test_help_says_how_to_call_it(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", "--help"])
    assert stopped.value.code == 0
    assert "recurlight doctor --ckpt_path FILE" in capsys.readouterr().out
