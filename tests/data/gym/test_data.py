"""Tasks of a library like reasoning gym: which questions, how they lie in rows, how answers score."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch
from gyms import small_gym

from recurlight import DataError, ReasoningGymData
from recurlight.data.sources.cache import cache_folder
from recurlight.draw.seeding import generators_at
from recurlight.rendering.samples import samples
from recurlight.spec import arguments
from recurlight.testing import check_data
from recurlight.types import IGNORE, Batch, Prediction

FEW = {"num_train": 40, "num_val": 5, "num_test": 7, "batch_size": 4}


@pytest.fixture(autouse=True)
def gym(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    with small_gym():
        yield


def texts(data: ReasoningGymData, part: str) -> list[tuple[str, str]]:
    """Read rows back as question and answer."""
    said = data.wording().said
    rows = getattr(data.splits, part)
    return [
        (said(inputs.tolist()), said(labels[(labels != IGNORE) & (labels != 0)].tolist()))
        for inputs, labels in zip(rows.inputs, rows.labels, strict=True)
    ]


def test_questions_are_those_of_the_task_and_no_two_parts_share_one():
    """Fails if parts have one seed, a question of one is in another, or evaluation asks one twice."""
    data = ReasoningGymData(config={"most": 5}, **FEW)  # 36 different questions, of which training gets 24
    parts = {name: [pair.question for pair in pairs] for name, pairs in data.texts.items()}
    assert {name: len(part) for name, part in parts.items()} == {"train": 40, "val": 5, "test": 7}
    assert len({*parts["val"], *parts["test"]}) == 12
    assert {*parts["train"]}.isdisjoint({*parts["val"], *parts["test"]})
    for pairs in data.texts.values():
        for question, answer in pairs:
            assert sum(map(int, question.split("+"))) == int(answer)


def test_the_test_does_not_depend_on_other_counts_and_each_seed_has_its_own():
    data = ReasoningGymData(**FEW)
    other = ReasoningGymData(**FEW | {"num_train": 3, "num_val": 1})
    assert other.texts["test"] == data.texts["test"]
    assert other.texts["val"] == data.texts["val"][:1]
    assert ReasoningGymData(**FEW, seed=1).texts["test"] != data.texts["test"]
    assert (data.seed, ReasoningGymData(**FEW, seed=1).seed) == (0, 1)


def test_a_task_that_draws_at_large_is_the_same_in_every_process_and_disturbs_none(monkeypatch, capfd):
    """Fails if questions are made in this process, hash texts anew in each, or are printed over."""
    random.seed(5)
    before, found = generators_at(), []
    for folder in ("one", "two"):
        monkeypatch.setenv("RECURLIGHT_CACHE", str(cache_folder().with_name(folder)))
        data = ReasoningGymData("careless", **FEW)
        found.append(data.texts)
        assert data.score("val", [pair.answer for pair in data.texts["val"]]) == [1.0] * 5
    assert found[0] == found[1]
    assert generators_at() == before
    assert "made one" not in capfd.readouterr().out


def test_questions_are_kept_and_not_made_again(monkeypatch):
    data = ReasoningGymData(**FEW)
    assert len([*cache_folder().iterdir()]) == 1
    monkeypatch.setattr(sys, "executable", "nowhere")
    assert ReasoningGymData(**FEW).texts == data.texts


@pytest.mark.parametrize("layout", ["separate", "causal"])
def test_rows_hold_question_and_answer_as_they_are(layout):
    """Fails if a character is lost, line ends too, or what comes after the answer counts."""
    data = ReasoningGymData(layout=layout, **FEW)
    for part in ("train", "val", "test"):
        rows = getattr(data.splits, part)
        for (question, answer), told in zip(texts(data, part), data.texts[part], strict=True):
            assert answer == told.answer
            assert question == (told.question if layout == "separate" else f"{told.question}\n{told.answer}")
        lengths = [len(pair.answer) + 1 for pair in data.texts[part]]  # with the end
        assert (rows.labels != IGNORE).sum(axis=1).tolist() == lengths
        assert ((rows.labels == 0).sum(axis=1) == 1).all()
    longest = max(
        len(one.question) + (layout == "causal") * (1 + len(one.answer)) for one in data.texts["train"]
    )
    assert data.seq_len >= longest


def test_separate_answers_begin_at_the_first_position():
    data = ReasoningGymData(**FEW)
    for labels, pair in zip(data.splits.val.labels, data.texts["val"], strict=True):
        assert data.wording().said(labels[: len(pair.answer)].tolist()) == pair.answer
        assert labels[len(pair.answer)] == 0


def test_causal_rows_predict_the_next_token_and_training_may_count_all_of_them():
    """Fails if inputs and labels are not shifted by one, or evaluation counts the question."""
    data = ReasoningGymData(layout="causal", loss_on="everywhere", **FEW)
    for inputs, labels in zip(data.splits.train.inputs, data.splits.train.labels, strict=True):
        filled = int((inputs != 0).sum())
        assert labels[: filled - 1].tolist() == inputs[1:filled].tolist()
        assert labels[filled - 1] == 0
        assert (labels[filled:] == IGNORE).all()
    assert (data.splits.val.labels == ReasoningGymData(layout="causal", **FEW).splits.val.labels).all()


def predicted(data: ReasoningGymData, part: str, said: list[str]) -> tuple[Batch, Prediction]:
    """Return a batch of a part in reverse order, a row of padding behind it, and answers to it."""
    rows = getattr(data.splits, part)
    inputs, labels = (torch.from_numpy(field[::-1].astype(np.int64)) for field in rows[:2])
    empty = torch.zeros_like(inputs[:1])
    batch = Batch(
        torch.cat([inputs, empty]), torch.cat([labels, empty + IGNORE]), torch.zeros(len(inputs) + 1)
    )
    tokens = torch.full_like(batch.inputs, 1)  # what is written beyond an answer does not count
    for row, text in enumerate(said[::-1]):
        written = [*data.wording().spelled(text), 0]
        start = int((labels[row] != IGNORE).nonzero()[0])
        tokens[row, start : start + len(written)] = torch.tensor(written)
    spent = torch.ones(len(tokens), dtype=torch.int64)
    return batch, Prediction(torch.eye(data.vocab_size)[tokens], spent, spent > 1, spent / 1)


@pytest.mark.parametrize("split", ["val", "test"])
def test_answers_score_by_the_tasks_own_rule_wherever_their_questions_lie(split):
    """Fails if rows are told by their place, scored by what is exact, or padding counts."""
    data = ReasoningGymData("parts", **FEW)
    said = [
        f"1+{int(pair.question[3:]) - 1}" for pair in data.texts[split]
    ]  # right, but not as the task has it
    said[0] = "7+9"
    said[1] = "++"  # over which the scorer stumbles
    said = [text.replace("1+-1", "0+0") for text in said]
    metric = data.task_metric(split)
    batch, prediction = predicted(data, split, said)
    metric.update(batch, prediction, 1)
    metric.update(Batch(*(field[:2] for field in batch)), Prediction(*(field[:2] for field in prediction)), 2)
    wanted = (len(said) - 2) / len(said)
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == pytest.approx(
        {"score_at_1": wanted, "solved_at_1": wanted, "score_at_2": 1.0, "solved_at_2": 1.0}
    )
    assert data.score(split, said) == [0.0, 0.0, *[1.0] * (len(said) - 2)]
    assert set(found) == set(metric.figures([1, 2]))
    assert metric.judge(prediction.logits, batch.labels).sum() < len(said) - 2


def test_ranks_that_have_some_of_the_questions_each_come_to_the_same():
    """Fails if a rank's questions are told by their place among its own, or its padding counts."""
    data = ReasoningGymData(**FEW)
    batch, prediction = predicted(data, "test", [*(pair.answer for pair in data.texts["test"][:6]), "1"])
    whole, *ranks = (data.task_metric("test") for _ in range(3))
    whole.update(batch, prediction, 1)
    for rank, metric in enumerate(ranks):
        metric.update(*(type(one)(*(field[rank::2] for field in one)) for one in (batch, prediction)), 1)
    assert torch.equal(sum(metric.counted for metric in ranks), whole.counted)
    assert torch.equal(sum(metric.rows for metric in ranks), whole.rows)
    assert whole.compute()["solved_at_1"].item() == pytest.approx(6 / 7)


@pytest.mark.parametrize("layout", ["separate", "causal"])
def test_they_are_data_as_recurlight_wants_them(layout):
    check_data(lambda: ReasoningGymData(layout=layout, **FEW))


def test_part_of_a_score_is_no_solved_question():
    data = ReasoningGymData(**FEW)
    metric = data.task_metric("val")
    said = [str(int(pair.answer) + (row < 2)) for row, pair in enumerate(data.texts["val"])]
    metric.update(*predicted(data, "val", said), 1)
    assert [value.item() for value in metric.compute().values()] == pytest.approx([0.8, 0.6])


def test_of_causal_answers_only_those_count_whose_writing_is_known():
    """Fails if what is predicted after a wrong token, from the right ones before it, is scored as written."""
    data = ReasoningGymData(layout="causal", config={"most": 60}, **FEW | {"num_val": 60})
    metric, said, wanted = data.task_metric("val"), [], []
    for row, pair in enumerate(data.texts["val"]):
        right, cut = pair.answer, pair.answer[:-1]
        wrong = str(int(right) + 1)  # of half a score, if it were what is written
        said.append((right, cut, wrong)[row % 3])
        known = (right, cut, None)[row % 3]
        wanted.append(known)
    metric.update(*predicted(data, "val", said), 1)
    score = data.scorer("val")
    scores = [0.0 if text is None else score(row, text) for row, text in enumerate(wanted)]
    assert 0 < sum(scores) < 60
    assert metric.compute()["score_at_1"].item() == pytest.approx(sum(scores) / 60)


def test_what_was_found_in_training_is_kept():
    """Fails if a model is asked in other tokens or another length than it has learnt."""
    data = ReasoningGymData(config={"most": 30}, **FEW)
    kept = arguments(data)
    assert kept["alphabet"] == "".join(data.alphabet) == "\n +0123456789"
    assert kept["length"] == data.seq_len == 7
    again = ReasoningGymData(**kept | {"config": {"most": 3}})
    assert (again.vocab_size, again.grid_shape) == (data.vocab_size, data.grid_shape)
    assert data.names() == {"symbols": [*data.alphabet]}
    assert data.divided_otherwise(kept, kept | {"config": {"most": 3}, "batch_size": 1}) == ["config"]


def test_a_question_is_read_and_shown_as_it_is():
    data = ReasoningGymData(**FEW)
    question, answer = data.texts["val"][0]
    assert data.wording().read(question) == data.splits.val.inputs[0].tolist()
    batch, prediction = predicted(data, "val", [pair.answer for pair in data.texts["val"]])
    (first, *_) = samples(batch, prediction, 1, data)
    assert data.render(first.prediction) == data.render(first.answer) == data.texts["val"][-1].answer
    assert answer == str(sum(map(int, question.split("+"))))
    with pytest.raises(DataError, match="use 'recurlight generate'"):
        ReasoningGymData(layout="causal", **FEW).wording().read(question)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"task": "chain_sun"}, r"has no task 'chain_sun'; did you mean 'chain_sum'\?"),
        ({"task": "x"}, "has no task 'x': set data.task to another"),
        (
            {"config": {"mosd": 3}},
            r"the task chain_sum has no setting 'mosd'; did you mean 'most'\?",
        ),
        ({"config": {"x": 3}}, "has no setting 'x'; it has most"),
        (
            {"config": {"most": 0}},
            r"with data.config \{'most': 0\} \(AssertionError: most must be positive\)",
        ),
        (
            {"config": {"most": 1}},
            "has 4 questions that no other part took, and num_test is 7: lower",
        ),
        ({"config": {"seed": 1}}, "config has seed: leave it away, and set data.seed"),
        ({"config": {"size": 1}}, "config has size: leave it away, and set data.num_train"),
        (
            {"task": "unanswered", "config": {"most": 500}},
            "without an answer that is a text.*set data.task to another",
        ),
        ({"task": "long"}, "takes 3001 positions with its answer, and 2,048 at most: make shorter ones"),
        ({"length": 3}, "takes 7 positions with its answer, and data.length is 3: .*set data.length to 7"),
        ({"alphabet": "0123456789+ "}, r"have the character '\\n', which is not in data.alphabet: add it"),
        ({"length": 0}, "length is 0: set data.length to 1 or more"),
        ({"layout": "cause"}, "layout is 'cause': set data.layout to separate or causal"),
        ({"loss_on": "all"}, "loss_on is 'all': set data.loss_on to answers or everywhere"),
        ({"loss_on": "everywhere"}, "set data.layout to causal, or data.loss_on to answers"),
        ({"num_val": -1}, "num_val is -1: set data.num_val to 0 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(settings, says):
    with pytest.raises(DataError, match=says) as refusal:
        ReasoningGymData(**FEW | settings)
    assert "\n" not in str(refusal.value)


def test_a_library_that_is_not_there_is_told_how_to_install():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "path", [place for place in sys.path if "fakes" not in place and "site-p" not in place]
        )
        with pytest.raises(DataError, match=r"No module named 'reasoning_gym'\): pip install --no-deps"):
            ReasoningGymData(**FEW)


def test_other_questions_than_those_kept_are_not_scored():
    """Fails if answers are scored by entries of other questions, as after an upgrade of the library."""
    data = ReasoningGymData(**FEW)
    data.texts["val"] = data.texts["val"][::-1]
    with pytest.raises(DataError, match=r"makes other questions of chain_sum .* delete the file"):
        data.task_metric("val")
