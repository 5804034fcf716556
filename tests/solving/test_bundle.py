"""A trained model as files: what they compute is what the model computes."""

from __future__ import annotations

import json

import pytest
import torch
from frozen import Tied, reasoner
from helpers import NUMBERS, batch, mixer, numbers, opinionated, trm

from recurlight import CorrectnessHalting, Denoising, LastCycles, Recursion, SingleRefiner, Solver, Wording
from recurlight.errors import IncompatibleComponents, RecurlightError
from recurlight.solving import bundle
from recurlight.solving.task import Task

WORDING = Wording((4, 4), tuple(" .1234"), also={"0": 1}, unasked=(0,))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A solver, and the folder that it was exported to."""
    solver = Solver(opinionated(trm()).eval(), {"max_segments": 2, "cycles": 1}, Task(WORDING, None))
    folder = tmp_path_factory.mktemp("exported") / "out"
    return solver, folder, solver.export(folder)


def expected(solver, asked):
    return solver.recursion.solve(asked, 2, adaptive=False, cycles=1)


@pytest.mark.parametrize("rows", [1, 5])
def test_the_program_answers_as_the_model_does(exported, rows):
    """Breaks when segments or cycles are not those of the checkpoint."""
    solver, folder, _ = exported
    asked = batch(rows)
    found = torch.export.load(folder / "solve.pt2").module()(tokens=asked.inputs, task=asked.task)
    torch.testing.assert_close(found["logits"], expected(solver, asked).logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(found["confidence"], expected(solver, asked).confidence, rtol=0, atol=1e-5)


def test_one_segment_goes_on_from_the_last(exported):
    solver, folder, _ = exported
    asked, step = batch(3), torch.export.load(folder / "segment.pt2").module()
    carry = solver.recursion.start(asked)
    out = {"age": carry.age, "halted": carry.halted, "state": carry.state._asdict()}
    out["state"] = {name: leaf.clone() for name, leaf in out["state"].items()}
    for _ in range(2):
        given = {name: out[name] for name in ("age", "halted", "state")}
        out = step(tokens=asked.inputs, task=asked.task, **given)
        out["halted"] = torch.zeros_like(carry.halted)
    torch.testing.assert_close(out["logits"], expected(solver, asked).logits, rtol=0, atol=1e-5)


def test_the_frozen_model_is_named(tmp_path, monkeypatch):
    """Fails if the weights, in which it is not, are all that a reader is told."""
    monkeypatch.setattr(bundle, "ONNX", ("no_such_package",))
    model = reasoner("", backbone=Tied()).recursion.eval()
    Solver(model, {}, Task(None, None)).export(tmp_path / "out", segments=1)
    told = json.loads((tmp_path / "out" / "description.json").read_text())
    assert told["backbone"] == {"path": "tied", "sha256": "1" * 64, "symbols": ""}


def test_the_description_is_enough_to_ask(exported):
    """Breaks when another program could not tell what to give, or how texts are written."""
    _, folder, written = exported
    told = json.loads((folder / "description.json").read_text())
    assert (told["segments"], told["cycles"], told["sizes"]["tokens"]) == (2, 1, 16)
    assert told["backbone"] is None
    assert told["inputs"] == {"tokens": "int64 (B, L)", "task": "int64 (B,)"}
    assert told["outputs"]["logits"] == "float32 (B, L, 6)"
    assert told["wording"]["texts"] == [*" .1234"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*told["files"], "description.json"])
    assert sorted(path.name for path in written.files) == sorted([*told["files"], "description.json"])
    assert {*told["left_out"]} | {*told["files"]} >= {"solve.onnx", "weights.safetensors"}


def test_the_onnx_program_answers_as_the_model_does(exported):
    for package in (*bundle.ONNX, "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    import onnxruntime

    solver, folder, _ = exported
    session = onnxruntime.InferenceSession(folder / "solve.onnx")
    names = [one.name for one in session.get_outputs()]
    for rows in (1, 5):
        asked = batch(rows)
        given = {"tokens": asked.inputs.numpy(), "task": asked.task.numpy()}
        found = dict(zip(names, session.run(None, given), strict=True))
        wanted = expected(solver, asked)
        logits, sure = (torch.from_numpy(found[name]) for name in ("logits", "confidence"))
        torch.testing.assert_close(logits, wanted.logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(sure, wanted.confidence, rtol=0, atol=1e-5)
        assert found["halted"].tolist() == wanted.halted.tolist()


def test_the_weights_are_all_there(exported):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    solver, folder, _ = exported
    found = safetensors.load_file(folder / "weights.safetensors")
    assert found.keys() == solver.recursion.state_dict().keys()
    assert all(torch.equal(found[name], weight) for name, weight in solver.recursion.state_dict().items())


def test_what_is_not_installed_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(bundle.importlib.util, "find_spec", lambda name: None)
    expected = "needs onnx and onnxscript: pip install 'recurlight[export]'"
    assert bundle._lacking(bundle.ONNX) == expected


def test_a_folder_that_exists_is_not_written_to(exported, tmp_path):
    solver, folder, _ = exported
    with pytest.raises(RecurlightError, match="exists already: name a new folder"):
        solver.export(folder)
    with pytest.raises(RecurlightError, match="does not exist: make it first"):
        solver.export(tmp_path / "none" / "out")


def test_an_export_that_fails_leaves_nothing_behind(exported, tmp_path):
    with pytest.raises(IncompatibleComponents, match="segments=0: give 1 or more"):
        exported[0].export(tmp_path / "out", segments=0)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_numbers_that_is_told_a_guess_has_no_segment_of_its_own(tmp_path):
    parts = SingleRefiner(mixer()), LastCycles(1), CorrectnessHalting()
    recursion = Recursion(NUMBERS, *parts, cycles=1, max_segments=1, feedback=Denoising().feedback()).eval()
    written = Solver(recursion, {}, Task(None, None)).export(tmp_path / "out")
    assert "told a guess" in written.left_out["segment.pt2"]
    told = json.loads((tmp_path / "out/description.json").read_text())
    assert told["inputs"]["tokens"] == "float32 (B, L, 2)"
    assert told["wording"] is None
    (answer,) = Solver(recursion, {}, Task(None, None)).solve(numbers(1).inputs)
    assert answer.tokens.shape == (16, 1)
