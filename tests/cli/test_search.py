# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight test --search...` and `recurlight predict --search...`."""

import json
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from recurlight.__main__ import main

from .fixtures import cache, failure, folder, trained


@pytest.fixture
def checkpoint(trained, folder):
    shutil.copy(trained, folder / "x.ckpt")
    return "x.ckpt"


def records(name):
    return json.loads(Path(name).read_text())


def test_a_searched_test_prints_and_keeps_accuracy_against_updates(checkpoint, capsys):
    wide = ["--search.width", "3", "--search.symmetries", "true", "--search.noise", "0.3"]
    assert main(["test", "--ckpt_path", checkpoint, *wide, "--search.selector", "FirstToHalt"]) == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["chains", "segments", "updates", "exact", "pass@k", "gap"] in rows
    assert ["so", "sure", "answered", "wrong", "among", "them"] in rows
    assert "selector=FirstToHalt()" in text
    (kept,) = records("search.json")
    (result,) = records("results.json")
    assert [each["width"] for each in kept["figures"]["widths"]] == [1, 2, 3]
    assert kept["figures"]["questions"] == result["puzzles"] == 4
    assert kept["search"] == result["search"]
    assert Path("search.png").exists() == (find_spec("matplotlib") is not None)
    assert result["adaptive"] is True  # these chains had to stop
    last = kept["figures"]["widths"][-1]
    assert result["updates"] == pytest.approx(last["updates"])
    assert result["figures"]["exact_accuracy"] == last["exact"]


def test_a_search_of_one_chain_measures_what_a_test_does(checkpoint, capsys):
    assert main(["test", "--ckpt_path", checkpoint]) == 0
    assert main(["test", "--ckpt_path", checkpoint, "--search.width", "1"]) == 0
    plain, searched = records("results.json")
    assert plain["search"] == ""
    assert searched["figures"]["exact_accuracy"] == plain["figures"]["exact_accuracy"]
    assert searched["updates"] == plain["updates"]


def test_predictions_are_searched_for_and_may_be_unsure(checkpoint, capsys):
    wide = ["--search.width", "3", "--search.symmetries", "true"]
    assert main(["predict", "--ckpt_path", checkpoint, *wide, "--confidence", "0.9"]) == 0
    assert "4 predictions" in capsys.readouterr().out
    found = [json.loads(line) for line in Path("predictions.jsonl").read_text().splitlines()]
    shares = {round(record["confidence"] * 3) for record in found}
    assert shares <= {1, 2, 3}
    assert all(record["segments"] >= 3 for record in found)
    assert all(record["sure"] is (record["confidence"] > 0.9) for record in found)


def test_a_search_may_stand_in_a_file(checkpoint, folder, capsys):
    text = (
        "search: {width: 2, noise: 0.5, selector: {class_path: Verified, init_args: {otherwise: BestScore}}}"
    )
    (folder / "wide.yaml").write_text(text)
    assert main(["test", "--ckpt_path", checkpoint, "--config", "wide.yaml"]) == 0
    assert "selector=Verified(otherwise=BestScore())" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--search.width", "0"], "width=0: give 1 or more"),
        (["--search.width", "2"], "2 chains would be the same"),
        (["--search.noise", "0.3"], "set search.width to 2 or more"),
        (["--search.selector", "FirstToHlt"], "did you mean 'FirstToHalt'?"),
        (["--search.witdh", "2"], "did you mean 'width'?"),
        (["--search.width", "x"], "search.width: expected a whole number, got 'x'"),
        (
            ["--search.selector", "BestScore", "--model.halting", "FixedHalting", "--search.width", "1"],
            "FixedHalting",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_line(checkpoint, capsys, flags, words):
    assert words in failure(capsys, "test", "--ckpt_path", checkpoint, *flags)


def test_training_and_validation_do_not_search(checkpoint, capsys):
    line = failure(capsys, "validate", "--ckpt_path", checkpoint, "--search.width", "2")
    assert "recurlight validate has no setting 'search'" in line


def test_the_lines_of_the_page_run(trained, folder, capsys):
    shutil.copy(trained, folder / "last.ckpt")
    page = (Path(__file__).parents[2] / "docs/search.md").read_text("utf-8")
    commands, code = (
        re.findall(rf"^```{kind}\n(.*?)^```$", page, re.M | re.S)[0] for kind in ("bash", "python")
    )
    for line in commands.splitlines():
        assert main(shlex.split(line)[1:]) == 0
    assert "pass@k" in capsys.readouterr().out
    exec(code, {})
    assert "torch.Size([4, 16])" in capsys.readouterr().out


def test_the_selector_of_the_page_runs_from_the_folder(checkpoint, folder, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs/search.md").read_text("utf-8")
    (code,) = re.findall(r'^```python title="choose.py"\n(.*?)^```$', page, re.M | re.S)
    (folder / "choose.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    flags = ("--search.width", "2", "--search.symmetries", "true", "--search.selector", "choose.Quickest")
    assert main(["test", "--ckpt_path", checkpoint, *flags]) == 0
    assert "selector=Quickest()" in capsys.readouterr().out
