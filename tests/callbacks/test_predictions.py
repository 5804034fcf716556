"""The file of predictions."""

from __future__ import annotations

import json
import warnings

from helpers import module, trainer
from resuming import Shifts

from recurlight.callbacks import PredictionWriter


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
