# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight trace` on a checkpoint: what it writes is what predict answers, and what it refuses."""

import json
import re
import sys
from types import SimpleNamespace

import pytest

from recurlight.__main__ import main
from recurlight.cli.commands.parsing import CommandError
from recurlight.cli.commands.trace import _asked
from recurlight.types import Sizes

from ..fixtures import cache, failure, folder, trained


def written(path):
    """Return the data of a page."""
    text = path.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_shows_what_predict_answers(trained, folder, capsys):
    """Fails if another puzzle, other weights or another end is shown."""
    assert main(["predict", "--ckpt_path", trained]) == 0
    records = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    for index in (0, 3):
        capsys.readouterr()
        name = f"{index}.html"
        assert main(["trace", "--ckpt_path", trained, "--index", str(index), "--out", name]) == 0
        found = written(folder / name)
        assert found["question"] == records[index]["question"]
        assert found["answer"] == records[index]["answer"]
        assert found["predicted"] == records[index]["segments"]
        read = [u["read"]["answer"] for u in found["updates"] if "answer" in u["read"]]
        assert [found["start"]["answer"], *read][-1]["tokens"] == records[index]["prediction"]
        out = capsys.readouterr().out.splitlines()[-1]
        assert re.fullmatch(
            rf"{name}: SudokuData, test puzzle {index}: answered after . of 2 segments, .+", out
        )


def test_a_question_of_ones_own_is_thought_about_as_solve_does(trained, folder, capsys):
    """Fails if another text is read, or another answer is shown."""
    text = "1.....4...2..3.."
    capsys.readouterr()
    assert main(["solve", "--ckpt_path", trained, "--json", text]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert main(["trace", "--ckpt_path", trained, "--question", text]) == 0
    found = written(folder / "trace.html")
    assert found["question"] == [{".": 1}.get(one, 0) or int(one) + 1 for one in text]
    read = [u["read"]["answer"] for u in found["updates"] if "answer" in u["read"]]
    assert [found["start"]["answer"], *read][-1]["tokens"] == solved["tokens"]
    assert found["predicted"] == solved["segments"]
    both = "--index and --question ask for two puzzles: give one of them"
    flags = ["trace", "--ckpt_path", trained, "--out", "other.html"]
    assert failure(capsys, *flags, "--question", text, "--index", "0") == both
    assert "16" in failure(capsys, *flags, "--question", "12")  # cells are wanted


def test_a_question_without_its_task_is_refused_where_tasks_are_told_apart(monkeypatch):
    """Fails if it is silently asked as task 0."""
    made = SimpleNamespace(config=SimpleNamespace(ckpt_path=""), request=SimpleNamespace(packages=[]))
    sizes = Sizes(6, 16, 32, tasks=3, prefix=1)
    solver = SimpleNamespace(recursion=SimpleNamespace(sizes=sizes))
    monkeypatch.setattr("recurlight.solving.load", lambda *_, **__: solver)
    with pytest.raises(CommandError, match=r"the model tells 3 apart: give --index"):
        _asked("1..2", made)


def test_flags_change_the_thinking(trained, folder):
    """Fails if settings of evaluation are ignored, or the second batch is another puzzle's."""
    flags = ["--model.eval_segments=3", "--model.eval_cycles=1", "--data.eval_batch_size=2"]
    assert main(["trace", "--ckpt_path", trained, "--index=2", *flags]) == 0
    found = written(folder / "trace.html")
    assert len(found["segments"]) == 3
    assert len(found["updates"]) == 6
    assert found["title"] == "SudokuData, test puzzle 2"


def test_pictures_are_written_beside_the_page(trained, folder):
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    assert main(["trace", "--ckpt_path", trained, "--png", "a.png", "--gif", "a.gif"]) == 0
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "a.gif").read_bytes().startswith(b"GIF8")
    assert (folder / "trace.html").exists()


def test_what_cannot_be_shown_is_told_in_a_line(trained, folder, capsys, monkeypatch):
    """Fails if one of these ends in a traceback, or replaces a file."""
    untrained = "trace shows a trained model: give its checkpoint, --ckpt_path FILE"
    assert failure(capsys, "trace") == untrained
    assert failure(capsys, "trace", "--config", "tiny", "--ckpt_path", "null") == untrained
    missing = failure(capsys, "trace", "--ckpt_path", "nowhere.ckpt")
    assert "--ckpt_path nowhere.ckpt: there is no such file" in missing
    asked = ["trace", "--ckpt_path", trained]
    message = "--index 4 is no test puzzle: give from 0 to 3"
    assert failure(capsys, *asked, "--index", "4") == message
    assert failure(capsys, *asked, "--index=-1") == "trace got index=-1: give 0 or more"
    assert "invalid int value: 'x'; see: recurlight trace --help" in failure(capsys, *asked, "--index", "x")
    (folder / "old.html").write_text("kept")
    replaced = "old.html exists already: give another name, --out FILE.html"
    assert failure(capsys, *asked, "--out", "old.html") == replaced
    assert (folder / "old.html").read_text() == "kept"
    kind = "--gif a.mp4 has no name of such a file: end it in .gif"
    assert failure(capsys, *asked, "--gif", "a.mp4") == kind
    none = "--index 0 is no test puzzle: there are none"
    assert failure(capsys, *asked, "--data.num_test", "0") == none
    assert "the folder none does not exist" in failure(capsys, *asked, "--png", "none/a.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'recurlight[viz]'" in failure(capsys, *asked, "--gif", "x.gif")
    assert not (folder / "trace.html").exists()


def test_help_says_how_to_call_it(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["trace", "--help"])
    assert stopped.value.code == 0
    assert "recurlight trace --ckpt_path FILE" in capsys.readouterr().out
