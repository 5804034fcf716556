"""The page on several devices: its commands run on two processes of a CPU, and do what one does."""

import os
import subprocess

import pytest
import torch
from overlays import few
from warm import interpreter

from docs.following import commands

SMALL = [*few("trm_sudoku")[4:], "--model.width=16", "--model.max_segments=2", "--data.epoch_samples=20"]
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
STEPS = {"20": "3", "30": "5"}
"""Steps of the page, and in place of them."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The last weights of every run of the page, by its number; those for a GPU are left out."""
    folder, found = tmp_path_factory.mktemp("devices"), []
    here = os.environ | {"RECURLIGHT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    typed = [words for words in commands("tutorials/several-devices.md") if "gpu" not in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with interpreter(tmp_path_factory.mktemp("warm")) as python:
            for words in typed:
                words = [STEPS.get(word, word) for word in words[1:]]
                command = [python, "-m", "recurlight", *words, *SMALL, *QUIET]
                run = {"cwd": folder, "env": here, "capture_output": True, "text": True, "timeout": 300}
                done = subprocess.run(command, check=False, **run)
                assert done.returncode == 0, done.stderr[-3000:]
                newest = max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
                found.append(torch.load(newest, weights_only=True))
    return found


def test_two_processes_do_what_one_does(weights):
    one, two, _ = weights
    assert one["global_step"] == two["global_step"] == 3
    for name, value in one["current_model_state"].items():
        torch.testing.assert_close(two["current_model_state"][name], value, rtol=1e-3, atol=1e-4)


def test_one_process_goes_on_where_two_stopped(weights):
    _, two, more = weights
    assert more["global_step"] == 5
    assert [len(run["run"]["carry"][0]["halted"]) for run in (two, more)] == [4, 4]
    assert more["run"]["inexact"] == ""
