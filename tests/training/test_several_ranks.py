"""Two ranks train, stop and resume as one process does; torchrun starts them, so that a deadlock fails.

Each test names a change of the library that makes it fail.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from recurlight.__main__ import main

HERE = Path(__file__).parents[1]

CONFIG = """
model:
  refiner: {class_path: TwoLevelRefiner, init_args: {latent: {class_path: MixerCell}, latent_steps: 1}}
  truncation: {class_path: LastCycles, init_args: {count: 1}}
  halting: CorrectnessHalting
  width: 8
  cycles: 2
  max_segments: 3
  exploration: 0.5
  eval_adaptive: true
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.05}}
data:
  class_path: SudokuData
  init_args: {size: 4, num_train: 8, num_val: 5, num_test: 4, batch_size: 4, epoch_samples: 12}
trainer:
  logger: {class_path: lightning.pytorch.loggers.CSVLogger, init_args: {save_dir: ., name: one}}
  accelerator: cpu
  precision: 64-true
  log_every_n_steps: 1
  enable_model_summary: false
  enable_progress_bar: false
"""


def rows(folder: Path) -> dict[tuple[int, bool], dict[str, float]]:
    """The figures of a run by step, those of training and of validation apart."""
    found: dict[tuple[int, bool], dict[str, float]] = {}
    for file in sorted(folder.glob("version_*/metrics.csv")):
        for row in csv.DictReader(file.open()):
            figures = {name: float(value) for name, value in row.items() if value and name != "epoch"}
            found[int(row["step"]), "val/loss" in figures] = figures
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run of one process, and everything that two ranks did beside it."""
    path = tmp_path_factory.mktemp("ranks")
    (path / "cli.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("RECURLIGHT_CACHE", str(path / "cache"))
        saver = '[{class_path: ModelCheckpoint, init_args: {dirpath: one, filename: "{step}", '
        saver += "auto_insert_metric_name: false, every_n_train_steps: 3, save_top_k: -1}}]"
        fit = ["fit", "--config", "cli.yaml", "--trainer.max_steps", "9"]
        assert main([*fit, "--trainer.callbacks", saver]) == 0
        torchrun(path)
        last = ["--trainer.logger.name", "fewer", "--ckpt_path", str(newest(path / "two"))]
        assert main([*fit, *last]) == 0
    return path


def newest(run: Path) -> Path:
    return max(run.glob("version_*/checkpoints/last.ckpt"))


def torchrun(path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    places = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    ranks = subprocess.Popen(
        [sys.executable, "-m", *command, str(HERE / "two_ranks.py"), str(path)],
        env=os.environ | {"PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=path,
        start_new_session=True,
    )
    try:
        error = ranks.communicate(timeout=540)[1]
    finally:
        if ranks.poll() is None:
            os.killpg(ranks.pid, signal.SIGKILL)
    assert ranks.returncode == 0, error[-3000:]


@pytest.fixture(scope="module", params=[0, 1])
def rank(request, folder) -> dict:
    return json.loads((folder / f"{request.param}.json").read_text())


def test_two_ranks_resume_bit_equal(rank):
    """Fails if the carry is not gathered, or if a rank takes another's share."""
    assert len(rank["resumed"]) == 18 + 2 + 5
    assert {point: found for point, found in rank["resumed"].items() if found} == {}


def test_a_save_by_one_rank_waits_for_nobody(folder):
    """Fails if the carry is gathered while an exception or a signal has stopped one rank alone."""
    first, second = (json.loads((folder / f"{rank}.json").read_text())["alone"] for rank in (0, 1))
    assert first == {"together": [0]}
    assert second == {"amid a batch": [], "after an exception": [], "together": [0]}


TOLERANCE = 1e-6
"""In float64 the runs differ by 1e-15; but figures are float32, and Lightning loads weights as such."""


def close(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and one == pytest.approx(other, rel=0, abs=TOLERANCE)


def test_two_ranks_log_what_one_process_logs(folder, rank):
    """Fails if the loss or the samples of the first rank are logged for all, or a padding row is counted."""
    assert rank["command line"] == [0] * 5
    one, two = rows(folder / "one"), rows(folder / "two")
    assert len(two) == 7 + 3
    for step in two.keys() & one.keys():
        assert close(one[step], two[step]), step
    losses = [one[step, False]["loss"] for step in range(7)]
    assert len(set(losses)) == 7
    assert one[6, False]["samples"] < 7 * 4


def test_the_command_line_resumes_on_two_ranks(folder):
    """Fails if `last` does not find the run's folder, or if anything is lost on the way."""
    whole, parts = rows(folder / "whole"), rows(folder / "parts")
    assert len(list((folder / "parts").glob("version_*"))) == 2
    for step in whole:
        if step != (3, True):  # a run that ends validates once more
            assert parts[step] == whole[step], step


def test_the_number_of_ranks_may_change(folder):
    """Fails if the carry is not re-divided, or if the order of the data depends on the ranks."""
    one, more, fewer = (rows(folder / name) for name in ("one", "more", "fewer"))
    for later, steps in ((more, range(3, 7)), (fewer, range(7, 9))):
        for step in steps:
            assert close(later[step, False], one[step, False]), step
