"""The race: racers are judged alike, runs are kept and not repeated, and the table tells who came first."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def race(monkeypatch):
    """The benchmark."""
    return load("race", monkeypatch)


@pytest.fixture
def one(monkeypatch):
    """What runs one racer."""
    return load("race_one", monkeypatch)


def load(name, monkeypatch):
    """Import a file of the folder, for this test alone."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for module in ("race", "race_one", "racers"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(name)


def row(racer, seed, *points, settings=()):
    """A run whose curve has points of seconds and exact answers."""
    curve = [
        {"step": 10 * s, "updates": 90 * s, "cpu_s": s, "wall_s": s, "exact": e, "puzzles": 500}
        for s, e in points
    ]
    return {"racer": racer, "seed": seed, "settings": list(settings), "curve": curve}


class Counter(torch.nn.Module):
    """Adds one to its question in each segment, up to a bound: the answer is right once it is there."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + 1


class Stub:
    """A racer of twelve steps, all of whose answers settle at five."""

    def __init__(self, steps=12):
        self.network, self.steps, self.seen = Counter(), steps, []

    def train(self, clock):
        clock.start()
        for step in range(self.steps):
            self.network(torch.zeros(32, 1))
            clock.tick(step + 1 == self.steps)

    def begin(self, questions):
        return (questions.clone(),)

    def segment(self, state):
        self.seen.append(len(state[0]))
        count = (state[0] + 1).clamp(max=5)
        return (count,), torch.nn.functional.one_hot(count, 8), count[:, 0] >= 3

    def rows(self, state, rows):
        return tuple(part[rows] for part in state)


def puzzles():
    """Questions that take three, two, one and no segments; the answer to the last is another."""
    questions = torch.tensor([[2], [3], [4], [5]])
    return {"val_inputs": questions, "val_labels": torch.tensor([[5], [5], [5], [6]])}


def options(**others):
    """The command line of a run."""
    return argparse.Namespace(**{"every": 5, "budget": 1e9, "goal": 98.0, "stop": False} | others)


def test_rows_leave_when_a_segment_does_not_change_their_answer(one):
    racer = Stub()
    assert one.settled(racer, puzzles()) == 0.75
    assert racer.seen == [4, 4, 2, 1]  # one segment more than an answer takes


def test_the_end_is_judged_by_segments_and_by_the_model_itself(one):
    found = one.all_ways(Stub(), puzzles())
    assert found["exact"] == [0.25, 0.5, *[0.75] * 14]
    assert found["own_halting"] == 0.25  # it stops at once where it has counted to three


def test_a_run_looks_now_and_then_and_at_its_end(one):
    race = one.Race(Stub(), puzzles(), options())
    with pytest.raises(one.Enough):
        race.racer.train(race)
    curve = race.found["curve"]
    assert [point["step"] for point in curve] == [5, 10, 12]
    assert [point["updates"] for point in curve] == [5, 10, 12]
    assert race.found["exact"][-1] == 0.75


@pytest.mark.parametrize(("others", "steps"), [({"goal": 70.0, "stop": True}, 5), ({"budget": 0.0}, 1)])
def test_a_run_may_end_at_the_goal_or_with_its_budget(one, others, steps):
    race = one.Race(Stub(), puzzles(), options(**others))
    with pytest.raises(one.Enough):
        race.racer.train(race)
    assert race.steps == steps


def test_few_puzzles_are_enough_where_the_goal_is_far(one, monkeypatch):
    monkeypatch.setattr(one, "FEW", 2)
    far = {name: rows.flip(0) for name, rows in puzzles().items()}
    for arrays, puzzles_seen in ((far, 2), (puzzles(), 4)):
        race = one.Race(Stub(1), arrays, options())
        with pytest.raises(one.Enough):
            race.racer.train(race)
        assert race.found["curve"][0]["puzzles"] == puzzles_seen


def test_what_is_there_is_not_run_again(race, tmp_path):
    out = tmp_path / "race.jsonl"
    out.write_text(json.dumps(row("recurlight", 0, (1, 0.5))) + "\n")
    settings = {"out": out, "peer": [race.peer(f"nano_trm={tmp_path}")], "seeds": 2, "only": None}
    runs = list(race.planned(argparse.Namespace(**settings, set=["nano_trm.lr=0.1"])))
    assert [(run.racer, run.seed) for run in runs] == [("nano_trm", 0), ("recurlight", 1), ("nano_trm", 1)]
    assert runs[0].settings == ("lr=0.1",)
    assert runs[1].settings == ()


def test_the_table_has_medians_and_how_many_times_ours(race, tmp_path, capsys):
    out = tmp_path / "race.jsonl"
    found = [row("recurlight", seed, (10, 0.9), (20 + seed, 0.99)) for seed in range(3)]
    found += [row("nano_trm", 0, (50, 0.92), (63, 0.98)), row("nano_trm", 1, (84, 0.981))]
    found += [row("nano_trm", 2, (60, 0.5)), row("tiny_recursive_model", 0, (300, 0.4))]
    out.write_text("".join(json.dumps(one) + "\n" for one in found))
    race.main(["table", "--out", str(out)])
    lines = {line.split("|")[1].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert "21, 210, 1890, 1.0" in lines["recurlight"]
    assert "84, 840, 7560, 4.0" in lines["nano_trm"]  # the one that never got there comes last
    assert lines["tiny_recursive_model"].count("not reached") == 3
    assert "40.0 % after 300 s" in lines["tiny_recursive_model"]


def test_a_peer_that_is_not_there_is_told_with_what_to_type(race, tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 1, "", "Traceback\nModuleNotFoundError: No module named 'src'\n")
    monkeypatch.setattr(race.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(SystemExit, match=r"nano_trm is not in .*No module named 'src'\): git clone"):
        race.main(["run", "--out", str(tmp_path / "race.jsonl"), "--peer", f"nano_trm={tmp_path}"])


def test_an_unknown_peer_is_told_the_names(race, tmp_path, capsys):
    with pytest.raises(SystemExit):
        race.main(["run", "--peer", "other=here"])
    assert "nano_trm=FOLDER or tiny_recursive_model=FOLDER" in capsys.readouterr().err


def test_the_others_get_the_puzzles_of_the_quickstart(race, tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    race.export(tmp_path / "puzzles.npz", 64)
    arrays = importlib.import_module("race_one").loaded(str(tmp_path / "puzzles.npz"))
    assert {name: tuple(rows.shape) for name, rows in arrays.items()} == {
        "train_inputs": (64, 36), "train_labels": (64, 36), "val_inputs": (500, 36), "val_labels": (500, 36),
    }  # fmt: skip
    given = arrays["train_inputs"] > 1
    assert (arrays["train_inputs"] == arrays["train_labels"])[given].all()


class Ticks:
    """Keeps what a racer tells, and what its averaged weights then answer."""

    def __init__(self, racer, questions):
        self.racer, self.questions, self.told = racer, questions, []

    def start(self):
        self.told.append("start")

    def tick(self, last):
        self.told.append(last)
        state, logits, stops = self.racer.segment(self.racer.begin(self.questions))
        assert (logits.shape, stops.shape) == ((3, 36, 8), (3,))
        state = self.racer.rows(state, torch.tensor([0, 2]))
        assert torch.equal(state.batch.inputs, self.questions[[0, 2]])


def test_the_quickstart_is_driven_from_its_recipe(one, tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    few = {"data.num_train": "4", "data.num_val": "4", "data.num_test": "4", "data.batch_size": "2"}
    racer = one.RACERS["recurlight"]({}, 0, {"trainer.max_steps": "2", **few})
    clock = Ticks(racer, torch.randint(1, 8, (3, 36)))
    racer.train(clock)
    assert clock.told == ["start", False, True]
    assert sum(weight.numel() for weight in racer.network.parameters()) == 94464


def test_a_setting_that_a_peer_does_not_have_is_told_those_that_it_has(one):
    racers = importlib.import_module("racers")
    assert racers.chosen({"lr": 0.1, "cycles": 3}, {"lr": "0.5"}) == {"lr": 0.5, "cycles": 3}
    with pytest.raises(SystemExit, match="--set rate: give one of lr, cycles"):
        racers.chosen({"lr": 0.1, "cycles": 3}, {"rate": "0.5"})
