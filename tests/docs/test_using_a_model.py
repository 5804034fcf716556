"""The page on using a model: its commands, its Python and its web service answer."""

from __future__ import annotations

import shlex
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from helpers import causal, mixer, trainer

from docs.test_pages import blocks
from recurlight import (
    CorrectnessHalting,
    FixedHalting,
    LastCycles,
    RecursiveModule,
    SingleRefiner,
    SudokuData,
    TextData,
    TwoLevelRefiner,
)
from recurlight.__main__ import main

PAGE = "using-a-model.md"
QUESTION = "1.....4...2..3.."


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a checkpoint of a small model."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(folder / "cache"))
        data = SudokuData(size=4, num_train=8, num_val=4, num_test=4, batch_size=4)
        refiner = TwoLevelRefiner(mixer(), latent_steps=1)
        sizes = {"width": 8, "cycles": 1, "max_segments": 2}
        model = RecursiveModule.for_data(
            data, refiner=refiner, truncation=LastCycles(1), halting=CorrectnessHalting(), **sizes
        )
        fit = trainer(max_steps=1, limit_val_batches=0)
        fit.fit(model, data)
        fit.save_checkpoint(folder / "last.ckpt")
        (folder / "questions.txt").write_text(f"{QUESTION}\n{'.' * 15}4\n")
        patch.chdir(folder)
        yield folder


def test_the_commands_answer(trained, monkeypatch, capsys):
    ask, several, _, export = blocks(PAGE, "bash")
    assert main(shlex.split(ask)[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    from_file, from_stdin = several.splitlines()
    assert main(shlex.split(from_file)[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    with (trained / "questions.txt").open() as questions:
        monkeypatch.setattr(sys, "stdin", questions)
        assert main(shlex.split(from_stdin.partition(" <")[0])[1:]) == 0
    assert capsys.readouterr().out.count('"answer"') == 2
    assert main(shlex.split(export)[1:]) == 0
    names: dict = {}
    load, _, program, own = blocks(PAGE, "python")
    for code in (load, program, own):
        exec(code, names)
    assert torch.equal(names["found"]["logits"].argmax(dim=-1)[0], names["answer"].tokens)
    assert names["MyData"].wording


def test_a_model_of_text_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("def one(): return 1\n" * 200)
    data = TextData("text.txt", length=220, batch_size=2, val_share=0.1, test_share=0.1)
    sizes = {"width": 8, "cycles": 1, "max_segments": 1}
    model = RecursiveModule.for_data(
        data, refiner=SingleRefiner(causal()), truncation=LastCycles(1), halting=FixedHalting(), **sizes
    )
    fit = trainer(max_steps=1, limit_val_batches=0)
    fit.fit(model, data)
    fit.save_checkpoint("last.ckpt")
    for command in blocks(PAGE, "bash")[2].splitlines():
        assert main(shlex.split(command)[1:]) == 0
        assert capsys.readouterr().out.startswith("def ")


class Refused(Exception):
    """What the service raises for the client."""


def test_the_web_service_answers_and_refuses(trained, monkeypatch):
    """A stand-in for FastAPI hands over what a client sent."""
    routes = {}

    class FastAPI:
        def post(self, path):
            return lambda function: routes.setdefault(path, function)

    stand_in = ModuleType("fastapi")
    vars(stand_in).update(SimpleNamespace(FastAPI=FastAPI, HTTPException=Refused).__dict__)
    monkeypatch.setitem(sys.modules, "fastapi", stand_in)
    service = blocks(PAGE, "python")[1]
    assert len(service.splitlines()) <= 20
    exec(service, {})
    found = routes["/solve"]([QUESTION, "." * 15 + "4"], segments=1)
    assert [one["segments"] for one in found] == [1, 1]
    assert {type(one["holds"]) for one in found} == {bool}
    for asked in ({"segments": 65}, {"questions": [QUESTION] * 101}):
        with pytest.raises(Refused, match="at most 64 segments and 100 questions a call"):
            routes["/solve"](**{"questions": [QUESTION]} | asked)
    with pytest.raises(Refused, match="15 symbols: give 16"):
        routes["/solve"]([QUESTION[1:]])
