"""Small ARC sets on disk."""

from __future__ import annotations

import json
from pathlib import Path


def pair(*colors, answer=True):
    """A question of the given colors in a row, and the same one color on as its answer."""
    question = [list(colors)]
    return {"input": question} | ({"output": [[(color + 1) % 10 for color in colors]]} if answer else {})


def task(*starts, tests=1, answers=True):
    """Pairs that begin with the given colors; the last ones are tests."""
    pairs = [pair(start, (start + 3) % 10) for start in starts]
    shown, asked = pairs[:-tests], pairs[-tests:]
    return {"train": shown, "test": asked if answers else [{"input": one["input"]} for one in asked]}


TRAINING = {"aa": task(1, 2, 3), "bb": task(4, 5, 6, 7, tests=2)}
EVALUATION = {"cc": task(1, 3, 5), "dd": task(2, 4, 6, 8, tests=2)}


def write_kaggle(folder: Path, name: str, tasks: dict, solved: bool = True) -> Path:
    """Write a set as on Kaggle, the answers to tests in a file of their own."""
    folder.mkdir(exist_ok=True)
    asked = {
        key: one | {"test": [{"input": test["input"]} for test in one["test"]]} for key, one in tasks.items()
    }
    (folder / f"arc-agi_{name}_challenges.json").write_text(json.dumps(asked))
    if solved:
        answers = {key: [test["output"] for test in one["test"]] for key, one in tasks.items()}
        (folder / f"arc-agi_{name}_solutions.json").write_text(json.dumps(answers))
    return folder


def write_folder(folder: Path, name: str, tasks: dict) -> Path:
    """Write a set as a folder of files, one of them deeper down."""
    for number, (key, one) in enumerate(tasks.items()):
        place = folder / name / ("deep" if number else "")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{key}.json").write_text(json.dumps(one))
    return folder


def small(folder: Path, solved: bool = True) -> Path:
    """Write the sets `training` and `evaluation`."""
    write_kaggle(folder, "training", TRAINING)
    return write_kaggle(folder, "evaluation", EVALUATION, solved)
