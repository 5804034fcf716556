"""The page on own tasks: both ways train through the command line, and its example is short and right."""

import json
import re
import shlex
import sys
from functools import partial

import numpy as np
import pytest
import torch

from docs.test_pages import DOCS, blocks, execute
from recurlight import DataError, TableData
from recurlight.__main__ import main
from recurlight.checkpoints.contents import DATA, data_made_with, data_settings
from recurlight.checkpoints.trust import Trust
from recurlight.spec import from_spec, to_spec
from recurlight.testing import check_data

PAGE = "tutorials/own-task.md"
LETTERS, FLOOD = blocks(PAGE, "python")[:2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder of its own, as the page's reader has one."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def train(capsys, data, *more):
    """Run the page's command for that data for two steps, and return what it prints."""
    command = next(block for block in blocks(PAGE, "bash") if f"--data {data}" in block)
    size = "--model.width 16 --model.cycles 2 --data.batch_size 8 --data.eval_batch_size 200"
    short = "--data.epoch_samples 8 --trainer.max_steps 2 --trainer.accelerator cpu"
    words = [*shlex.split(command)[1:], *size.split(), *short.split(), *more]
    assert main([*words, "--trainer.enable_progress_bar", "false"]) == 0
    return capsys.readouterr().out


def test_a_csv_file_trains_and_is_tested_without_code(folder, capsys):
    """Breaks when TableData needs more than a path, or a checkpoint forgets which file it was trained on."""
    exec(LETTERS, {})
    head = (folder / "letters.csv").read_text().split("\n")[0]
    assert blocks(PAGE, "text")[0].startswith(f"{head.strip()}\n")
    counts = ["--data.num_val", "20", "--data.num_test", "20"]
    assert "exact accuracy after segments" in train(capsys, "TableData", *counts)
    saved = "runs/ut_sudoku/version_0/checkpoints/last.ckpt"
    cpu = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main(["test", "--ckpt_path", saved, *cpu]) == 0
    assert "exact accuracy after segments" in capsys.readouterr().out
    predict = next(block for block in blocks(PAGE, "bash") if "predict" in block)
    assert main([*shlex.split(predict)[1:], *cpu]) == 0
    first = json.loads((folder / "predictions.jsonl").read_text().split("\n")[0])
    text = TableData("letters.csv").render(first["prediction"])
    assert first["text"] == text
    assert set(text) <= set("abcdefgh")
    (folder / "questions.csv").write_text("question\nfedcba\nba\n")
    asked = next(block for block in blocks(PAGE, "bash") if "questions.csv" in block)
    assert main([*shlex.split(asked)[1:], *cpu]) == 0
    assert "2 predictions: new.jsonl" in capsys.readouterr().out
    found = [json.loads(line) for line in (folder / "new.jsonl").read_text().splitlines()]
    assert [record["question"] for record in found] == [[6, 5, 4, 3, 2, 1], [2, 1, 0, 0, 0, 0]]
    assert [record["answer"] for record in found] == [None, None]


def test_checkpoints_of_tables_from_before_end_marks_go_on_without(folder):
    """Breaks when an old checkpoint's answers are measured with an end that it never learnt."""
    (folder / "mine.csv").write_text("question,answer\nabc,a\nbca,ab\ncab,b\n")
    for end_mark in (True, False):
        section = data_settings(to_spec(TableData("mine.csv", end_mark=end_mark)))
        assert data_made_with(section)["init_args"]["end_mark"] is end_mark
    del section[DATA]["end_mark"]
    made = from_spec(data_made_with(section), Trust(), TableData)
    assert made.parts["train"].labels.tolist() == [[1, -100, -100], [1, 2, -100], [2, -100, -100]]


def test_a_class_in_the_current_folder_trains(folder, capsys, monkeypatch):
    """Breaks when the command line does not find the class, or hides the arguments that it passes on."""
    (folder / "flood.py").write_text(FLOOD)
    monkeypatch.delitem(sys.modules, "flood", raising=False)
    assert "exact accuracy after segments" in train(capsys, "flood.FloodData", "--data.seed", "3")
    saved = (folder / "runs/ut_sudoku/version_0/config.yaml").read_text()
    assert re.search(r"class_path: flood.FloodData\n +init_args:\n +size: 5\n", saved)
    assert "batch_size: 8" in saved


def test_the_class_is_short():
    """Breaks when the example, whole file, grows beyond what the page promises."""
    assert len(FLOOD.splitlines()) < 30
    assert "thirty\nlines" in (DOCS / PAGE).read_text("utf-8")


def test_a_bad_row_is_told_as_the_page_says(folder):
    """Breaks when the message shown is not the one given."""
    (folder / "letters.csv").write_text("question,answer\n" + "a,a\n" * 15 + ",b\n")
    with pytest.raises(DataError) as caught:
        TableData("letters.csv")
    assert f"{caught.value}\n" in blocks(PAGE, "text")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's Python defines, after its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        return execute(PAGE, max_steps=2)


def flooded(grid):
    """Flood from the corner, cell by cell."""
    grid, edge = grid.copy(), [(0, 0)]
    while edge:
        row, column = edge.pop()
        for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if all(0 <= place < len(grid) for place in cell) and grid[cell] == 2:
                grid[cell] = 3
                edge.append(cell)
    return grid


def test_the_example_floods_what_can_be_reached(page):
    """Breaks when water stops early, leaks through walls or diagonals, or wraps around an edge."""
    data = page["FloodData"](size=5, puzzles=600)
    for part in data.splits:
        for question, answer in zip(part.inputs, part.labels, strict=True):
            assert (flooded(question.reshape(5, 5)) == answer.reshape(5, 5)).all()
    lengths = [len(part.inputs) for part in data.splits]
    assert lengths == [200, 200, 200]


def test_the_mirror_images_are_floods_too(page):
    """Breaks when question and answer are turned differently, or all puzzles are turned."""
    data = page["MirroredFloodData"](size=4, puzzles=500, batch_size=64)
    batch = next(iter(data.train_dataloader()))
    for question, answer in zip(batch.inputs.numpy(), batch.labels.numpy(), strict=True):
        assert (flooded(question.reshape(4, 4)) == answer.reshape(4, 4)).all()
    puzzles = data.splits.train.rows(slice(0, 50))
    moved = data.augmentation()(puzzles, np.arange(50, dtype=np.uint64))
    same = (moved.inputs == puzzles.inputs).all(axis=1)
    assert same[1::2].all()
    assert same.sum() < 35
    assert data.render([3, 1, 2, 0] * 4) == "\n".join(["~#. "] * 4)


def test_the_searched_floods_keep_what_data_promise(page):
    """Breaks when the page's symmetries or rules fail the checks, or rules let water leak or stop early."""
    build = partial(page["SearchedFloodData"], size=4, puzzles=500, batch_size=8)
    assert set(check_data(build).values()) == {None}
    questions, labels, _ = build().splits.test
    rules, draw = build().rules(), np.random.default_rng(0)
    changed = np.where(draw.random(labels.shape) < 0.1, draw.integers(1, 4, labels.shape), labels)
    pairs = zip(questions, changed, strict=True)
    right = [(flooded(question.reshape(4, 4)).reshape(-1) == answer).all() for question, answer in pairs]
    assert rules.holds(*map(torch.from_numpy, (questions, changed))).tolist() == right
    assert 10 < sum(right) < 100
