"""A trained model as a solver: the answers of predict, from texts."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import SIZES, attention, batch, mixer, trainer, trm

import recurlight
from recurlight import (
    CorrectnessHalting,
    DataError,
    EveryUpdate,
    FixedHalting,
    LastCycles,
    Recursion,
    RecursiveModule,
    SingleRefiner,
    Sizes,
    Solver,
    SudokuData,
    TwoLevelRefiner,
    Wording,
)
from recurlight.checkpoints import files
from recurlight.errors import CheckpointError, CheckpointMismatch, IncompatibleComponents, UntrustedCode
from recurlight.recursion.generation import Word
from recurlight.solving.task import Task


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Data, the model trained on them, and its checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = SudokuData(size=4, num_train=8, num_val=4, num_test=6, batch_size=4, eval_batch_size=4)
        parts = TwoLevelRefiner(mixer(), latent_steps=1), LastCycles(1)
        settings = {"halting": CorrectnessHalting(), "width": 16, "cycles": 1, "max_segments": 3}
        model = RecursiveModule.for_data(data, refiner=parts[0], truncation=parts[1], **settings)
        fit = trainer(max_steps=3, limit_val_batches=0)
        fit.fit(model, data)
        path = tmp_path_factory.mktemp("saved") / "last.ckpt"
        fit.save_checkpoint(path)
        yield data, model, path


@pytest.fixture
def solver(trained):
    return recurlight.load(trained[2])


def texts(data):
    return [data.wording().write(row.tolist()) for row in data.splits.test.inputs]


def test_it_answers_as_predict_does(trained, solver):
    """Breaks when another rule stops, a setting of evaluation is lost, or a question is read otherwise."""
    data, model, _ = trained
    expected = trainer().predict(model, data)
    logits, segments, _, confidence = (torch.cat(part) for part in zip(*expected, strict=True))
    answers = solver.solve(texts(data), batch_size=4)
    assert torch.equal(torch.stack([one.tokens for one in answers]), logits.argmax(dim=-1))
    assert [one.segments for one in answers] == segments.tolist()
    torch.testing.assert_close(torch.tensor([one.confidence for one in answers]), confidence)
    assert [one.text for one in answers] == [data.wording().write(one.tokens.tolist()) for one in answers]
    assert answers[0].picture() == data.render(answers[0].tokens)
    held = data.rules().holds(torch.stack([one.question for one in answers]), logits.argmax(dim=-1))
    assert [one.holds for one in answers] == held.tolist()


def test_rules_are_told_of_every_answer(solver, trained, monkeypatch):
    """A model that answers rightly: what the rules say is of the question and the answer of one row."""
    data = trained[0]
    right = torch.from_numpy(data.splits.test.labels[:2]).long()
    found = torch.nn.functional.one_hot(right.flip(0), data.vocab_size).float()
    solved = recurlight.Prediction(found, right[:, 0], right[:, 0] > 0, right[:, 0].float())
    monkeypatch.setattr(type(solver.recursion), "solve", lambda *_, **__: solved)
    assert [one.holds for one in solver.solve(texts(data)[:2])] == [False, False]
    assert [one.holds for one in solver.solve(texts(data)[1::-1])] == [True, True]


def test_questions_may_be_tensors_arrays_or_lists(solver, trained):
    asked = torch.from_numpy(trained[0].splits.test.inputs).long()
    expected = [one.text for one in solver.solve(texts(trained[0]))]
    for given in (asked, asked.numpy().astype(np.uint8), asked.tolist()):
        assert [one.text for one in solver.solve(given)] == expected
    assert [one.text for one in solver.solve(asked[0])] == expected[:1]
    assert [one.text for one in solver.solve(texts(trained[0])[0])] == expected[:1]
    assert solver.solve([]) == []


def test_segments_are_spent_at_most(solver, trained):
    assert {one.segments for one in solver.solve(texts(trained[0]), segments=1)} == {1}
    with pytest.raises(IncompatibleComponents, match="solve got segments=0: give 1 or more"):
        solver.solve(texts(trained[0]), segments=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1" * 15, "the question has 15 symbols: give 16, 4 rows of 4"),
        (["." * 15 + "1", "7" * 16], "question 2: the question has the character '7' at place 1; .*"),
        (torch.ones(2, 15).long(), r"the questions are \(2, 15\): give \(B, 16\), or texts"),
        (torch.full((1, 16), 6), "the questions have the token 6: give 0 to 5"),
        (torch.full((1, 16), -1), "the questions have the token -1: give 0 to 5"),
        (torch.ones(1, 16), "the questions are torch.float32: give texts, or tokens of .*"),
        (["." * 16, 5], "the questions are no array: give texts, or tokens .*"),
    ],
)
def test_a_wrong_question_is_one_line(solver, given, message):
    with pytest.raises(DataError, match=f"^{message}$"):
        solver.solve(given)


def test_calls_from_several_threads_take_turns():
    """Breaks when one call tells the parts its padding while another computes."""
    parts = SingleRefiner(attention(masked=True)), EveryUpdate(), FixedHalting()
    recursion = Recursion(SIZES, *parts, cycles=2, max_segments=8).eval()
    solver = Solver(recursion, {}, Task(None, None))
    asked = [batch(3, seed=n).inputs * (torch.arange(16) < 2 * n) for n in range(1, 9)]
    expected = [torch.stack([one.tokens for one in solver.solve(each)]) for each in asked]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(solver.solve, asked * 4))
    for number, answers in enumerate(found):
        assert torch.equal(torch.stack([one.tokens for one in answers]), expected[number % 8])


def test_a_model_that_tells_tasks_apart_is_told_which(trained):
    recursion = trm(sizes=SIZES._replace(prefix=1, tasks=3)).eval()
    solver = Solver(recursion, {}, Task(None, None))
    with pytest.raises(DataError, match="the model tells 3 tasks apart: give its number, task, from 0 to 2"):
        solver.solve(batch(2).inputs)
    with pytest.raises(DataError, match="task is from 3 to 3: give 0 to 2"):
        solver.solve(batch(2).inputs, task=3)
    with pytest.raises(DataError, match=r"task has the shape \(3,\): give one number, or 2"):
        solver.solve(batch(2).inputs, task=[0, 1, 2])
    both = solver.solve(batch(2).inputs, task=[0, 2])
    assert torch.equal(both[1].tokens, solver.solve(batch(2).inputs, task=2)[1].tokens)


def test_lightning_is_not_imported(trained):
    """Breaks when loading, reading a text, answering it or judging that of any task imports Lightning."""
    code = (
        "import sys, recurlight\n"
        f"(answer,) = recurlight.load({str(trained[2])!r}).solve('1' + '.' * 15)\n"
        "assert answer.holds is not None and answer.picture()\n"
        "import recurlight.data\n"
        "every = [name for name in recurlight.data.__all__ if name.endswith('Rules')]\n"
        "assert len([getattr(recurlight.data, name) for name in every]) > 5\n"
        "assert not {'lightning', 'torchmetrics', 'jsonargparse'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def edited(trained, tmp_path, change):
    content = files.read(trained[2])
    change(content)
    files.write(content, tmp_path / "edited.ckpt")
    return tmp_path / "edited.ckpt"


def test_a_checkpoint_that_does_not_tell_has_its_data_asked(trained, solver, tmp_path):
    old = recurlight.load(edited(trained, tmp_path, lambda content: content["recurlight"].pop("task")))
    assert old.task.wording == solver.task.wording
    assert [one.holds for one in old.solve(texts(trained[0]))] == [
        one.holds for one in solver.solve(texts(trained[0]))
    ]


def test_data_that_cannot_be_made_leave_tokens(trained, tmp_path):
    def change(content):
        content["recurlight"].pop("task")
        content["datamodule_hyper_parameters"] = {"_class_path": "recurlight.TableData", "path": "gone.csv"}

    solver = recurlight.load(edited(trained, tmp_path, change))
    with pytest.raises(DataError, match=r"does not tell .* written \(its data cannot be made here: gone.csv"):
        solver.solve("1" * 16)
    (answer,) = solver.solve(torch.ones(16).long())
    assert (answer.text, answer.holds) == (None, None)
    with pytest.raises(DataError, match="look at its tokens"):
        answer.picture()


def test_a_file_chooses_no_code(trained, tmp_path):
    def change(content):
        content["recurlight"]["task"] = {"rules": {"class_path": "os.system", "init_args": {"command": "ls"}}}

    path = edited(trained, tmp_path, change)
    with pytest.raises(UntrustedCode, match=f"{path}: 'os.system' was not imported"):
        recurlight.load(path)


def test_what_was_trained_on_is_kept_by_a_checkpoint_that_is_written_again(trained, tmp_path):
    data, _, path = trained
    again = RecursiveModule.load_from_checkpoint(path)
    one = trainer()
    one.strategy.connect(again)
    one.save_checkpoint(tmp_path / "again.ckpt", weights_only=True)
    assert recurlight.load(tmp_path / "again.ckpt").task.wording == data.wording()


def test_an_older_checkpoint_that_is_written_again_still_has_its_data_asked(trained, solver, tmp_path):
    """Fails if the new file says that its questions have no wording, for the old one did not tell it."""
    old = edited(trained, tmp_path, lambda content: content["recurlight"].pop("task"))
    again, one = RecursiveModule.load_from_checkpoint(old), trainer()
    one.strategy.connect(again)
    one.save_checkpoint(tmp_path / "again.ckpt", weights_only=True)
    assert recurlight.load(tmp_path / "again.ckpt").task.wording == solver.task.wording


def test_a_missing_file_and_one_of_something_else_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.ckpt: there is no such file"):
        recurlight.load("gone.ckpt")
    torch.save({"a": 1}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointMismatch, match=r"other\.ckpt: no checkpoint of recurlight"):
        recurlight.load(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("text", "cut", "shown"),
    [("aé", 3, ["a", "", "é"]), ("aé", 2, ["a", "�"]), ("a€b", 3, ["a", "", "�"]), ("é€", 2, ["", "é"])],
)
def test_a_character_that_the_end_cuts_off_is_shown(text, cut, shown, monkeypatch):
    """Fails if the bytes of a text that ends amid a character are lost, or a piece stands for no token."""
    wording = Wording((1, 16), ("", *map(chr, range(256))), padded=True, verbatim="bytes")
    recursion = Recursion(Sizes(257, 16, 16), SingleRefiner(mixer()), EveryUpdate(), FixedHalting())
    words = [Word(byte + 1, at, 0.5) for at, byte in enumerate(text.encode()[:cut])]
    monkeypatch.setattr(recursion, "generate", lambda *args, **settings: iter(words))
    pieces = list(Solver(recursion, {}, Task(wording, None)).generate("x"))
    assert [piece.text for piece in pieces] == shown
    assert [piece.segments for piece in pieces] == [*range(cut)]
