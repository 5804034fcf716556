# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight solve`: texts in, a picture, lines or objects out; wrong uses in one line."""

import io
import json
import re
import sys

import pytest

import recurlight
from recurlight.__main__ import main

from ..fixtures import cache, failure, folder, trained

ONE, TWO = "1" + "." * 15, ".2" + "." * 14


def told(capsys, *arguments):
    capsys.readouterr()
    assert main(["solve", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def answers(trained):
    return recurlight.load(trained).solve([ONE, TWO])


def test_one_question_is_answered_by_a_picture(trained, answers, capsys):
    lines = told(capsys, "--ckpt_path", trained, ONE)
    assert lines[:5] == answers[0].picture().splitlines()
    assert lines[5:] == [f"confidence {answers[0].confidence:.1%}, 2 segments, the rules do not hold"]


def test_several_are_answered_by_a_line_each(trained, answers, capsys):
    lines = told(capsys, "--ckpt_path", trained, ONE, TWO, "--segments", "1")
    found = recurlight.load(trained).solve([ONE, TWO], 1)
    assert [line.split("  conf")[0] for line in lines] == [one.text for one in found]
    assert all(line.endswith("1 segment  the rules do not hold") for line in lines)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"{ONE}\n\n{TWO}\n"),
        ("a.csv", f"id,puzzle\n7,{ONE}\n8,{TWO}\n"),
        (
            "a.jsonl",
            f'{{"question": "{ONE}"}}\n{{"question": {json.dumps([[0, 2, 0, 0], *[[0] * 4] * 3])}}}\n',
        ),
    ],
)
def test_a_file_of_questions_alone_gives_an_object_a_line(trained, answers, folder, capsys, name, content):
    (folder / name).write_text(content)
    found = [json.loads(line) for line in told(capsys, "--ckpt_path", trained, "--file", name, "--json")]
    assert [one["answer"] for one in found] == [one.text for one in answers]
    assert [one["tokens"] for one in found] == [one.tokens.tolist() for one in answers]
    assert {(one["segments"], one["holds"]) for one in found} == {(2, False)}
    assert found[0]["question"] == ONE
    assert 0 <= found[0]["confidence"] <= 1


def test_standard_input_is_a_question_a_line(trained, answers, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ONE}\n{TWO}\n"))
    lines = told(capsys, "--ckpt_path", trained, "-")
    assert [line.split("  conf")[0] for line in lines] == [one.text for one in answers]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "solve asks a trained model: give its checkpoint, --ckpt_path FILE"),
        (["--ckpt_path", "TRAINED"], "there is no question: give one as a text, --file FILE, or - for .*"),
        (["--ckpt_path", "gone.ckpt", ONE], "gone.ckpt: there is no such file; name the .*"),
        (["--ckpt_path", "TRAINED", ONE[1:]], "the question has 15 symbols: give 16, 4 rows of 4"),
        (
            ["--ckpt_path", "TRAINED", ONE, "5" * 16],
            "question 2: the question has the character '5' at place 1; known are '.12340'",
        ),
        (["--ckpt_path", "TRAINED", "--file", "bad.txt"], "bad.txt, line 3: the question has 3 symbols: .*"),
        (["--ckpt_path", "TRAINED", "--file", "bad.csv"], "bad.csv, row 1: no column question.*"),
        (
            ["--ckpt_path", "TRAINED", "--file", "gone.txt"],
            "--file gone.txt: there is no such file; name a .*",
        ),
        (["--ckpt_path", "TRAINED", "--segments", "0", ONE], "solve got segments=0: give 1 or more"),
        (["--ckpt_path", "TRAINED", "--segments", "x", ONE], "argument --segments: invalid int value.*"),
        (["--ckpt_path", "TRAINED", "--device", "abacus", ONE], "device is 'abacus', which is not there .*"),
        (["--ckpt_path", "TRAINED", "--picture", ONE], "'--picture' is not expected here; see: .* --help"),
    ],
)
def test_wrong_uses_are_one_line(trained, folder, capsys, arguments, message):
    (folder / "bad.txt").write_text(f"{ONE}\n\n123\n")
    (folder / "bad.csv").write_text(f"riddle\n{ONE}\n")
    words = [trained if word == "TRAINED" else word for word in arguments]
    text = failure(capsys, "solve", *words)
    assert re.fullmatch(message, text), text


def test_the_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit):
        main(["solve", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 26
    assert "recurlight solve --ckpt_path" in "\n".join(lines)


def test_a_part_of_the_current_folder_is_found(folder, monkeypatch, capsys):
    """Fails if only the commands of the trainer look there."""
    source = "import recurlight\n\n\nclass Calm(recurlight.FixedHalting):\n    pass\n"
    (folder / "calm_part.py").write_text(source)
    assert main(["fit", "--config", "tiny", "--model.halting", "calm_part.Calm"]) == 0
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(folder)])
    monkeypatch.delitem(sys.modules, "calm_part")
    assert told(capsys, "--ckpt_path", "runs/tiny/version_0/checkpoints/last.ckpt", ONE)
