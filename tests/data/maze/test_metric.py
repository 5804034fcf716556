from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ranks import run_two

from recurlight.data.maze.metric import MazePaths
from recurlight.data.maze.read import maze_tokens
from recurlight.losses import SoftmaxCrossEntropy
from recurlight.metrics.evaluation import Evaluation
from recurlight.types import IGNORE, Batch, Prediction

QUESTION = "S       G"  # 3 x 3
SHORT = "Soo  o  G"
OTHER = "So  o  oG"


def tokens(*texts: str) -> torch.Tensor:
    rows = maze_tokens(np.frombuffer("".join(texts).encode(), dtype=np.uint8)).reshape(len(texts), -1)
    return torch.from_numpy(rows.astype(np.int64))


def batch(*answers: str, question: str = QUESTION) -> Batch:
    return Batch(
        tokens(*[question] * len(answers)), tokens(*answers), torch.zeros(len(answers), dtype=torch.int64)
    )


def prediction(*texts: str) -> Prediction:
    logits = torch.nn.functional.one_hot(tokens(*texts), 6).float() * 9
    count = torch.ones(len(texts), dtype=torch.int32)
    return Prediction(logits, count, count > 0, count.float())


def test_any_shortest_path_is_optimal_and_a_detour_is_only_valid():
    """Fails if optimal asks for the path in the file or for its length, or valid for a shortest one."""
    question = "S G" + " # " + "   "
    straight, around, beside = "SoG # " + "   ", "S G" + "o#o" + "ooo", "SoG" + "o# " + "   "
    metric = MazePaths()
    given = batch(*[straight] * 3, question=question)
    metric.update(given, prediction(straight, around, beside), 4)
    assert metric.compute()["valid_path"] == pytest.approx(2 / 3)
    assert metric.compute()["optimal_path"] == pytest.approx(1 / 3)
    metric.reset()
    metric.update(batch(SHORT), prediction(OTHER), 4)
    assert metric.compute()["optimal_path"] == 1
    metric.reset()
    metric.update(batch(around, around, question=question), prediction(straight, around), 4)
    assert metric.compute()["optimal_path"] == 0.5


def test_padding_rows_are_not_counted():
    """Fails if rows without supervised tokens enter the number of mazes."""
    given = batch(SHORT, SHORT)
    labels = given.labels.clone()
    labels[1] = IGNORE
    metric = MazePaths()
    metric.update(given._replace(labels=labels), prediction(SHORT, SHORT), 1)
    assert metric.compute()["valid_path"] == 1
    assert metric.rows[:, 0].tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_ranks_sum_to_the_whole():
    """Fails if a counter is not declared as a sum over ranks."""
    one, two, whole = MazePaths(), MazePaths(), MazePaths()
    one.update(batch(SHORT, SHORT, SHORT), prediction(SHORT, OTHER, QUESTION), 1)
    two.update(batch(SHORT), prediction(QUESTION), 1)
    whole.update(batch(*[SHORT] * 4), prediction(SHORT, OTHER, QUESTION, QUESTION), 1)
    assert all(
        reduction is torch.sum or "sum" in reduction.__name__ for reduction in one._reductions.values()
    )
    summed = MazePaths()
    summed.points = {0: 1}
    for name in ("rows", "counted"):
        setattr(summed, name, getattr(one, name) + getattr(two, name))
    assert summed.compute() == whole.compute()
    assert whole.compute()["valid_path"] == 0.5


def test_the_table_stands_under_exact_accuracy_and_is_forgotten():
    """Fails if a point's share goes to another column, or a second evaluation adds to the first."""
    evaluation = Evaluation(3, MazePaths())
    answers = [prediction(QUESTION, QUESTION), prediction(OTHER, QUESTION), prediction(SHORT, OTHER)]
    for _ in range(2):
        evaluation.update(iter(answers), batch(SHORT, SHORT), SoftmaxCrossEntropy())
        lines = evaluation.table().splitlines()
        figures = evaluation.compute()
        evaluation.reset()
    assert lines[1].split() == ["segments", "1", "2", "3"]
    assert lines[2].split() == ["exact", "0.0%", "0.0%", "50.0%"]
    assert lines[3].split() == ["valid", "0.0%", "50.0%", "100.0%"]
    assert lines[4].split() == ["optimal", "0.0%", "50.0%", "100.0%"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert figures["optimal_path"] == figures["optimal_path_at_3"] == 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_evaluated_is_zero():
    """Fails if a validation without mazes divides by nothing."""
    assert MazePaths().compute() == {"valid_path": 0, "optimal_path": 0}
    assert MazePaths().table().split() == ["valid", "optimal"]


def answered(part: slice) -> MazePaths:
    """What a metric counts on a part of five mazes, one of them padding: 2 optimal, 3 valid of 4."""
    question = "S G" + " # " + "   "
    straight, around, beside = "SoG # " + "   ", "S G" + "o#o" + "ooo", "SoG" + "o# " + "   "
    given = batch(*[straight] * 5, question=question)
    given.labels[4] = IGNORE
    answers = prediction(straight, around, beside, straight, around)
    metric = MazePaths()
    rows = Batch(*(field[part] for field in given))
    metric.update(rows, Prediction(*(field[part] for field in answers)), 4)
    return metric


def share(path: str) -> None:
    """What each of two processes does: the first takes one maze, the second three and the padding."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    metric = answered(slice(1, None) if rank else slice(1))
    found = {name: value.item() for name, value in metric.compute().items()} | {"table": metric.table()}
    (Path(path) / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def test_two_processes_count_together(tmp_path):
    """Fails if a share is the mean of the processes' shares, or a process knows only its own mazes."""
    run_two(f"import data.maze.test_metric as t; t.share({str(tmp_path)!r})", tmp_path)
    whole = answered(slice(None))
    figures = {name: value.item() for name, value in whole.compute().items()} | {"table": whole.table()}
    assert figures["optimal_path"] == 0.5
    assert figures["valid_path"] == 0.75
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == figures
