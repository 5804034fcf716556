# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Tasks of reasoning gym by the command line: trained, scored by their own rule, solved and written."""

import csv

import pytest
from gyms import small_gym

import recurlight
from recurlight import ReasoningGymData
from recurlight.__main__ import main
from recurlight.spec import arguments

from .fixtures import cache, failure, folder

TEXT = """
model:
  refiner:
    class_path: SingleRefiner
    init_args: {{cell: {{class_path: {cell}, init_args: {{layers: 1, heads: 2}}}}}}
  encoder: {{class_path: TokenEncoder, init_args: {{learned_positions: true}}}}
  truncation: EveryUpdate
  halting: FixedHalting
  loss: {{class_path: SoftmaxCrossEntropy, init_args: {{tokens: 3}}}}
  width: 32
  cycles: 1
  max_segments: 2
  optimizer: {{class_path: AdamATan2, init_args: {{lr: 0.01}}}}
data:
  class_path: ReasoningGymData
  init_args:
    task: {task}
    config: {{most: {most}}}
    layout: {layout}
    num_train: 200
    num_val: 5
    num_test: 20
    batch_size: 16
    epoch_samples: 1600
trainer: {{max_steps: {steps}, accelerator: cpu, enable_model_summary: false, enable_progress_bar: false}}
"""
MODELS = {
    "separate": {"cell": "TransformerCell", "task": "chain_sum", "most": 9, "steps": 100},
    "causal": {"cell": "CausalTransformerCell", "task": "parts", "most": 30, "steps": 45},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory, cache):
    """Models that have half learnt sums, one for each layout."""
    place = tmp_path_factory.mktemp("gym")
    with small_gym(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(cache))
        patch.chdir(place)
        for layout, settings in MODELS.items():
            (place / f"{layout}.yaml").write_text(TEXT.format(layout=layout, **settings))
            assert main(["fit", "--config", f"{layout}.yaml", "--seed_everything", "0"]) == 0
        yield {name: str(place / f"runs/{name}/version_0/checkpoints/last.ckpt") for name in MODELS}


def figures(path, *arguments):
    """Return what `recurlight test` measures."""
    log = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "log"]
    assert main(["test", "--ckpt_path", path, *log, *arguments]) == 0
    with open("log/lightning_logs/version_0/metrics.csv") as file:
        return {name: float(value) for row in csv.DictReader(file) for name, value in row.items() if value}


def test_answers_in_place_are_scored_as_they_are_solved(models, capsys):
    """Fails if what is scored is not what the model answers, or the table lacks the task's own lines."""
    found = figures(models["separate"])
    assert "solved" in capsys.readouterr().out
    data = ReasoningGymData.load_from_checkpoint(models["separate"])
    answers = recurlight.load(models["separate"]).solve([pair.question for pair in data.texts["test"]])
    said = [answer.text for answer in answers]
    scores = data.score("test", said)
    assert found["test/score_at_2"] == pytest.approx(sum(scores) / 20)
    assert found["test/solved_at_2"] == pytest.approx(scores.count(1.0) / 20)
    exact = [text == pair.answer for text, pair in zip(said, data.texts["test"], strict=True)]
    assert found["test/exact_accuracy"] == pytest.approx(sum(exact) / 20)
    assert sum(scores) > 0


def test_a_causal_model_writes_exactly_as_often_right_as_its_exact_accuracy_says(models):
    """Fails if labels are shifted, the separator is forgotten, or the end is not what ends a text."""
    found = figures(models["causal"])
    data = ReasoningGymData.load_from_checkpoint(models["causal"])
    solver = recurlight.load(models["causal"])
    written = [
        "".join(piece.text for piece in solver.generate(pair.question)).removeprefix("\n")
        for pair in data.texts["test"]
    ]
    exact = [text == pair.answer for text, pair in zip(written, data.texts["test"], strict=True)]
    assert found["test/exact_accuracy"] == pytest.approx(sum(exact) / 20)
    assert 0 < sum(exact) < 20  # some of both, else it would show little
    most = sum(data.score("test", written))
    assert sum(exact) - 0.01 < found["test/score_at_2"] * 20 < most + 0.01


def test_a_question_is_answered_by_solve_or_written_by_generate(models, capsys, folder):
    question, answer = ReasoningGymData.load_from_checkpoint(models["causal"]).texts["train"][0]
    capsys.readouterr()
    assert main(["generate", "--ckpt_path", models["causal"], "--prompt", question]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written[0] == question
    assert written[1] == answer
    assert "recurlight generate" in failure(capsys, "solve", "--ckpt_path", models["causal"], question)
    assert main(["solve", "--ckpt_path", models["separate"], "3 +\n4"]) == 0
    assert capsys.readouterr().out.strip()


def test_another_task_trains_by_flags_alone(models, capsys, folder):
    """Fails if the settings of one task stay when another is named."""
    (folder / "run.yaml").write_text(
        TEXT.format(layout="separate", **MODELS["separate"]).replace("{most: 9}", "{most: 9, least: 0}")
    )
    flags = ["--data.task", "parts", "--data.config", "null", "--data.config", "{most: 40}"]
    flags += ["--trainer.max_steps", "2"]
    assert main(["fit", "--config", "run.yaml", *flags, "--data.epoch_samples", "16"]) == 0
    assert "solved" in capsys.readouterr().out
    kept = arguments(ReasoningGymData.load_from_checkpoint("runs/run/version_0/checkpoints/last.ckpt"))
    assert (kept["task"], kept["config"]) == ("parts", {"most": 40})


def test_a_setting_that_the_task_has_not_is_refused_before_training(models, capsys, folder):
    (folder / "run.yaml").write_text(TEXT.format(layout="separate", **MODELS["separate"]))
    said = failure(capsys, "fit", "--config", "run.yaml", "--data.config", "{mots: 3}")
    assert "the task chain_sum has no setting 'mots'; did you mean 'most'?" in said
