"""The GPU kit, on a CPU at the smallest sizes: it measures each part, counts right, ends in time, goes on."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

FOLDER = Path(__file__).parents[2] / "benchmarks"
SMALL = ["run", "--device", "cpu", "--small", "--models", "trm_sudoku"]


@pytest.fixture(scope="module")
def gpu():
    """The kit."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("gpu")
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("gpu", "gpu_measure", "gpu_table", "train_step"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def measuring(gpu):
    """Its measurements."""
    return sys.modules["gpu_measure"]


@pytest.fixture(scope="module")
def slices(gpu, tmp_path_factory):
    """What the file holds after a slice of time, and after one more."""
    folder = tmp_path_factory.mktemp("gpu")
    out, found = folder / "gpu.json", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(folder / "cache"))
        for more in ([], ["--resume"]):
            assert gpu.main([*SMALL, "--out", str(out), *more]) == 0
            found.append(json.loads(out.read_text()))
    return found


def test_a_slice_measures_each_part(slices):
    first, _ = slices
    parts = {"peak/bf16", "peak/32", "data/trm_sudoku_fast", "data/trm_sudoku"}
    parts |= {
        f"step/trm_sudoku/{precision}/{how}" for precision in ("bf16", "32") for how in ("eager", "compiled")
    }
    assert first["measured"].keys() == parts
    assert not first["left_out"]
    step = first["measured"]["step/trm_sudoku/32/eager"]
    assert 0 < step["ms_low"] <= step["ms"] <= step["ms_high"]
    assert step["waits"] == []
    assert step["slots"] == 4
    assert step["peak_gb"] > 0
    assert first["measured"]["data/trm_sudoku_fast"]["batches_per_s"] > 0


def test_a_second_slice_measures_nothing_again_and_goes_on_with_the_training(slices):
    first, second = slices
    assert second["measured"] == first["measured"]
    assert second["curve"][: len(first["curve"])] == first["curve"]
    assert len(second["curve"]) > len(first["curve"]) > 0
    # One is the guard against what is not finite, which on a CUDA device is answered a step later.
    assert all(len(point["waits"]) <= 1 for point in second["curve"])
    for before, after in zip(second["curve"], second["curve"][1:], strict=False):
        assert after["step"] > before["step"]
        assert after["trained_s"] > before["trained_s"]


def test_the_table_has_a_row_for_each_figure(gpu, slices):
    text = gpu.table(slices[1])
    step, point = slices[1]["measured"]["step/trm_sudoku/bf16/eager"], slices[1]["curve"][-1]
    assert f"| `trm_sudoku` | 16 | 4 | bf16 | eager | {step['ms']:.1f} (" in text
    assert f"| `trm_sudoku_fast` | {point['step']} |" in text
    assert text.count("`trm_sudoku`") == 4 + 1
    assert text.count("`trm_sudoku_fast`") == 1 + len(slices[1]["curve"])


def test_arithmetic_is_counted_as_the_layers_tell(measuring):
    """Forward once for every update, and twice more for those with gradient and for the read-outs."""
    place = measuring.Place(torch.device("cpu"), small=True)
    model = measuring.made("trm_sudoku", place, "--model.cycles=3").model
    recursion = model.recursion
    cell, sizes = recursion.refiner.cells()["answer"], recursion.sizes
    across = [layer for layer in cell.modules() if isinstance(layer, nn.Linear)]
    update = 0
    for layer in across:  # those of tokens are applied to each channel, those of channels to each token
        over_tokens = sizes.positions in (layer.in_features, layer.out_features)
        update += 2 * layer.weight.numel() * (sizes.width if over_tokens else sizes.positions)
    updates = len(recursion.refiner.schedule())
    read = 2 * sizes.width * (sizes.vocab * sizes.tokens + 1)
    expected = update * (2 * updates + 3 * updates) + 3 * read
    assert measuring.flop_per_slot(model, place) == expected


def test_without_time_everything_is_left_out_and_said(gpu, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert gpu.main([*SMALL, "--budget", "0", "--out", str(out)]) == 0
    left_out = json.loads(out.read_text())["left_out"]
    assert {"peak/bf16", "data/trm_sudoku_fast", "step/trm_sudoku/bf16/eager", "curve"} <= left_out.keys()
    assert "- curve: takes 1 s and more, of which 0 were left" in capsys.readouterr().out
    assert gpu.main([*SMALL, "--budget", "0", "--out", str(out)]) == 2
    assert "go on with --resume" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_it_says_what_to_type(gpu, tmp_path, capsys):
    assert gpu.main(["run", "--out", str(tmp_path / "gpu.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--device cpu --small" in line


def test_slots_are_halved_until_they_fit(measuring):
    def task(slots: int) -> dict[str, int]:
        if slots > 200:
            raise torch.OutOfMemoryError("full")
        return {"slots": slots}

    assert measuring.fitting(task, 768) == {"slots": 192}
