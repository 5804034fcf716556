"""The file of predictions."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import module, trainer
from ranks import run_two
from resuming import Shifts

from recurlight.callbacks import PredictionWriter
from recurlight.callbacks.predictions import records
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, FixedHalting
from recurlight.types import Batch, Prediction


def test_every_prediction_is_written_without_a_warning(tmp_path, capsys):
    """Fails if Lightning is asked for row numbers, which it cannot tell of whole batches, and warns."""
    path = tmp_path / "x.jsonl"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*batch indices.*")
        trainer(callbacks=[PredictionWriter(str(path))]).predict(module(), Shifts(eval_batch_size=2))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["question"] for record in records] == Shifts().splits.test.inputs.tolist()
    assert f"5 predictions, 0 exactly right: {path}" in capsys.readouterr().out


def test_another_prediction_on_a_second_rank_takes_the_same_file(tmp_path):
    """Fails if the number of the rank is added to the name once more."""
    writer = PredictionWriter(str(tmp_path / "x.jsonl"))

    class Second:
        global_rank = 1

    for _ in range(2):
        writer.on_predict_start(Second(), module())
    assert [path.name for path in tmp_path.iterdir()] == ["x.rank1.jsonl"]


def test_predictions_of_another_run_are_not_written_over(tmp_path):
    """Fails if they are lost, or if anything is predicted before that is told."""
    path = tmp_path / "x.jsonl"
    path.write_text("precious")
    writer = PredictionWriter(str(path))
    with pytest.raises(IncompatibleComponents, match=r"x\.jsonl exists already: give --output"):
        trainer(callbacks=[writer]).predict(module(), Shifts(eval_batch_size=2))
    assert path.read_text() == "precious"
    path.unlink()
    for _ in range(2):  # its own it may replace
        trainer(callbacks=[writer]).predict(module(), Shifts(eval_batch_size=2))
    assert len(path.read_text().splitlines()) == 5


def test_a_rank_that_had_nothing_to_answer_leaves_no_file(tmp_path):
    """Where there are fewer puzzles than ranks; the first rank's file is what was asked for, empty or not."""
    for rank in (0, 1):
        writer, here = PredictionWriter(str(tmp_path / "x.jsonl")), SimpleNamespace(global_rank=rank)
        writer.on_predict_start(here, None)
        writer.on_predict_end(here, None)
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def begin_as_a_rank(path):
    """Begin a file on this rank of two, and note what was refused."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    writer, trainer = PredictionWriter(f"{path}/x.jsonl"), SimpleNamespace(global_rank=rank)
    try:
        writer.on_predict_start(trainer, None)
    except IncompatibleComponents as refused:
        Path(path, f"told{rank}").write_text(str(refused))
    torch.distributed.destroy_process_group()


def test_a_file_that_one_rank_finds_ends_all(tmp_path):
    """Fails if the others go on and wait for it."""
    (tmp_path / "x.jsonl").write_text("precious")
    run_two(f"import callbacks.test_predictions as t; t.begin_as_a_rank({str(tmp_path)!r})", tmp_path)
    told = [(tmp_path / f"told{rank}").read_text() for rank in range(2)]
    advice = "give --output with the name of a new file, or move it away"
    assert told == [f"{tmp_path}/x.jsonl exists already: {advice}"] * 2
    assert not (tmp_path / "x.rank1.jsonl").exists()


def test_an_unsure_prediction_is_marked_and_not_counted(tmp_path, capsys):
    """Fails if a prediction is called an answer whose confidence is below what is asked, or the reverse."""
    path = tmp_path / "x.jsonl"
    made = module(halting=CorrectnessHalting())
    made.recursion.halting.head.weight.data.normal_(generator=torch.Generator().manual_seed(0))

    def written(confidence):
        path.unlink(missing_ok=True)
        writer = PredictionWriter(str(path), confidence=confidence)
        trainer(callbacks=[writer]).predict(made, Shifts(eval_batch_size=2))
        return [json.loads(line) for line in path.read_text().splitlines()]

    found = sorted(record["confidence"] for record in written(0.0))
    assert len({*found}) > 2
    capsys.readouterr()
    records = written(found[2])
    assert sum(record["sure"] for record in records) == 3
    assert all(record["sure"] == (record["confidence"] >= found[2]) for record in records)
    assert "5 predictions, 2 not sure enough to answer, 0 exactly right: " in capsys.readouterr().out
    assert "sure" not in written(None)[0]


def test_nine_votes_of_ten_are_as_sure_as_was_asked():
    """Fails if a confidence of float32 is compared with a number that float32 does not have."""
    tokens = torch.tensor([[1, 2]])
    sure = torch.tensor([[1.0] * 9 + [0.0]]).mean(dim=1)
    found = Prediction(torch.rand(1, 2, 3), torch.tensor([3]), torch.tensor([True]), sure)
    batch = Batch(tokens, tokens, torch.tensor([0]))
    assert next(records(batch, found, confidence=0.9))["sure"]
    assert not next(records(batch, found, confidence=0.9001))["sure"]


def test_a_policy_that_does_not_judge_has_no_confidence(tmp_path):
    writer = PredictionWriter(str(tmp_path / "x.jsonl"), confidence=0.9)
    with pytest.raises(IncompatibleComponents, match="FixedHalting does not judge its answers"):
        trainer(callbacks=[writer]).predict(module(halting=FixedHalting()), Shifts(eval_batch_size=2))
    assert not any(tmp_path.iterdir())
    with pytest.raises(IncompatibleComponents, match=r"confidence=1\.5"):
        PredictionWriter(confidence=1.5)
