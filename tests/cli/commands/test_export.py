# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight export`: a folder of programs, and wrong uses in one line."""

import re

import pytest
import torch

import recurlight
from recurlight.__main__ import main

from ..fixtures import cache, failure, folder, trained


def test_a_folder_is_written_that_answers_as_solve_does(trained, folder, capsys):
    capsys.readouterr()
    assert main(["export", "--ckpt_path", trained, "--out", "exported", "--segments", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "written: exported/solve.pt2" in lines
    assert "written: exported/description.json" in lines
    solver = recurlight.load(trained)
    tokens = solver.read("1" + "." * 15)
    program = torch.export.load(folder / "exported/solve.pt2").module()
    found = program(tokens=tokens, task=tokens[:, 0] * 0)["logits"].argmax(dim=-1)
    assert torch.equal(found[0], solver.solve(tokens, segments=1)[0].tokens)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "export writes a trained model: give its checkpoint, --ckpt_path FILE"),
        (["--ckpt_path", "gone.ckpt"], "there is no folder to write to: give a new one, --out FOLDER"),
        (
            ["--ckpt_path", "gone.ckpt", "--out", "exported"],
            "gone.ckpt: there is no such file; name the file of a checkpoint",
        ),
        (["--ckpt_path", "TRAINED", "--out", "there"], "there exists already: name a new folder"),
        (["--ckpt_path", "TRAINED", "--out", "a/b"], "the folder a does not exist: make it first"),
        (["--onnx"], "'--onnx' is not expected here; see: recurlight export --help"),
    ],
)
def test_wrong_uses_are_one_line(trained, folder, capsys, arguments, message):
    (folder / "there").mkdir()
    words = [trained if word == "TRAINED" else word for word in arguments]
    text = failure(capsys, "export", *words)
    assert re.fullmatch(message, text), text
