"""The commands of README.md and docs/scaling.md on two processes: every recipe trains, averages and resumes.

Each command line is run as it is written there, with what makes it small and quick, and further ranks are
started by Lightning, torchrun or SLURM's environment. `warm` only spares them the imports.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli.resumed import differences
from overlays import WHOLE, few, runnable
from ranks import free_port
from warm import interpreter

TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
QUIET = ["--trainer.enable_progress_bar", "false", "--data.epoch_samples", "20"]
PATIENCE = 300
"""Seconds until a run counts as a deadlock."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def python(cache, tmp_path_factory):
    with interpreter(tmp_path_factory.mktemp("warm")) as client:
        yield client


def fit(*words: str, folder: Path, **environment: str) -> str:
    """Run a command line that trains to the end, and return what it prints."""
    run = {"cwd": folder, "env": os.environ | environment, "capture_output": True, "text": True}
    done = subprocess.run(list(words), **run, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    mark = r"^val: [\d,]+ (puzzles|windows), data \w+;"
    assert re.search(mark, done.stdout, re.MULTILINE)  # each of them once
    return done.stdout


def last(folder: Path, name: str, version: int = 0) -> dict:
    path = folder / f"runs/{name}/version_{version}/checkpoints/last.ckpt"
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", runnable(WHOLE))
def test_a_recipe_trains_and_resumes_on_two_processes(python, tmp_path, name):
    """Fails if a model cannot be copied for averaging once a process is started, or a rank is alone."""
    command = [python, "-m", "recurlight", "fit", *few(name), *TWO, *QUIET]
    fit(*command, "--trainer.max_steps", "3", folder=tmp_path)
    begun = last(tmp_path, name)
    told = fit(*command, "--trainer.max_steps", "5", "--ckpt_path", "last", folder=tmp_path)
    ended = last(tmp_path, name, 1)
    mark = r"^averaged weights, step 5, last\.ckpt(, backbone [\w/]+)?; seeds: model 0, data 0;"
    assert re.search(mark, told, re.MULTILINE)
    for checkpoint, steps in ((begun, 3), (ended, 5)):
        assert checkpoint["global_step"] == steps
        assert checkpoint["run"]["inexact"] == ""
        assert len(checkpoint["run"]["carry"][0]["halted"]) == 4  # the slots of both ranks
        average = checkpoint["averaging_state"]["n_averaged"]
        assert int(average) == steps
        assert differences(checkpoint["state_dict"], checkpoint["current_model_state"])
    assert differences(begun["current_model_state"], ended["current_model_state"])


def state(checkpoint: dict) -> dict:
    """What two runs share that have done the same."""
    names = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "run", "global_step")
    return {name: checkpoint[name] for name in names}


SMALL = ["fit", *few("trm_sudoku"), *QUIET]


@pytest.fixture(scope="module")
def whole(python, tmp_path_factory):
    """The weights after five steps on two processes that Lightning has started, with another seed."""
    folder = tmp_path_factory.mktemp("whole")
    seed = ["--seed_everything", "1", "--trainer.max_steps", "5"]
    told = fit(python, "-m", "recurlight", *SMALL, *TWO, *seed, folder=folder)
    assert "seeds: model 1, data 1;" in told
    return state(last(folder, "trm_sudoku"))


def test_the_warm_interpreter_is_the_real_one(whole, cache, tmp_path):
    """Fails if what `warm` spares makes a difference."""
    seed = ["--seed_everything", "1", "--trainer.max_steps", "5"]
    fit(sys.executable, "-m", "recurlight", *SMALL, *TWO, *seed, folder=tmp_path)
    assert differences(state(last(tmp_path, "trm_sudoku")), whole) == []


def test_a_resumed_run_is_the_whole_one(python, whole, tmp_path):
    """Fails if a rank forgets the seed of the run, or if anything is lost on the way."""
    command = [python, "-m", "recurlight", *SMALL, *TWO]
    fit(*command, "--seed_everything", "1", "--trainer.max_steps", "3", folder=tmp_path)
    fit(*command, "--trainer.max_steps", "5", "--ckpt_path", "last", folder=tmp_path)
    assert differences(state(last(tmp_path, "trm_sudoku", 1)), whole) == []


def test_wrong_data_is_told_in_one_line(python, tmp_path):
    """Fails if the first process reads the data when the second is waiting for it already."""
    (tmp_path / "own.csv").write_text("question,answer\nab,ba\ncd\n")
    command = [python, "-m", "recurlight", "fit", "--config", "trm_sudoku", "--config", "small", *TWO]
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": PATIENCE, "check": False}
    for data in (["--data.source=csv", "--data.path=nowhere"], ["--data=TableData", "--data.path=own.csv"]):
        done = subprocess.run([*command, *data], **run)
        assert done.returncode == 2
        told = [line for line in done.stderr.splitlines() if line.startswith("recurlight: error: ")]
        assert told == done.stderr.splitlines()[-1:]
        assert "Traceback" not in done.stderr


TORCHRUN = ["-m", "torch.distributed.run"]
DDP = ["--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", "--seed_everything", "1"]


def test_torchrun_starts_the_same_run(python, whole, tmp_path):
    """Fails if ranks that others have started take other samples, or the command of the page is wrong."""
    launch = [sys.executable, *TORCHRUN, "--standalone", "--nproc_per_node", "2", "-m", "recurlight"]
    run = [*SMALL, "--trainer.devices", "2", *DDP, "--trainer.max_steps", "5"]
    fit(*launch, *run, folder=tmp_path, PYTHON_EXEC=python)
    assert differences(state(last(tmp_path, "trm_sudoku")), whole) == []


def together(commands: list[list[str]], folder: Path, *environments: dict[str, str]) -> None:
    """Run the same command line on each machine."""
    machines = [
        subprocess.Popen(command, cwd=folder, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
        for command, environment in zip(commands, environments, strict=True)
    ]
    try:
        errors = [machine.communicate(timeout=PATIENCE)[1] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    for machine, error in zip(machines, errors, strict=True):
        assert machine.returncode == 0, error[-3000:]


def test_two_machines_are_the_same_run(python, whole, tmp_path):
    """Fails if the rank within a machine is taken for that within the run."""
    meeting = ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{free_port()}"]
    launch = [sys.executable, *TORCHRUN, "--nnodes", "2", "--nproc_per_node", "1", *meeting]
    run = [
        "-m",
        "recurlight",
        *SMALL,
        "--trainer.devices",
        "1",
        "--trainer.num_nodes",
        "2",
        *DDP,
        "--trainer.max_steps",
        "5",
    ]
    together([launch + run] * 2, tmp_path, *[{"PYTHON_EXEC": python}] * 2)
    assert differences(state(last(tmp_path, "trm_sudoku")), whole) == []


def test_slurm_starts_and_requeues_the_same_run(python, whole, tmp_path):
    """Fails if a job that is requeued begins again, or ranks do not find each other."""
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "SLURM_NODEID": "0"}
    job |= {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    command = [python, "-m", "recurlight", *SMALL, "--trainer.devices", "2", *DDP, "--ckpt_path", "auto"]
    for steps in ("3", "5"):
        port = {"MASTER_PORT": str(free_port())}
        tasks = [job | port | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
        together([[*command, "--trainer.max_steps", steps]] * 2, tmp_path, *tasks)
    assert differences(state(last(tmp_path, "trm_sudoku", 1)), whole) == []
