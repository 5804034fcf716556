"""Kill small training runs at random moments, resume each, and compare its end with a run left alone.

    python benchmarks/crash.py
    python benchmarks/crash.py --kills 200 --folders /tmp /dev/shm /mnt/net --seed 1

Half of the kills come at a random time of training, half inside a save: at a random write, or around the
calls that bring the file to the disk and name it. Every run is `recurlight fit` in a process of its own,
forked after the imports, and every kill is SIGKILL. A run goes on from the newest good checkpoint in its
folder, or from the beginning where there is none. The ends are compared to the bit, except for paths.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.callbacks import LambdaCallback

import recurlight.cli.app
from recurlight.__main__ import main as recurlight_main
from recurlight.checkpoints.files import flaw, newest_good

RECIPE = """
model:
  refiner: {{class_path: TwoLevelRefiner, init_args: {{latent: {{class_path: MixerCell}}, latent_steps: 1}}}}
  truncation: {{class_path: LastCycles, init_args: {{count: 1}}}}
  halting: {halting}
  width: 8
  cycles: 2
  max_segments: {segments}
  optimizer: {{class_path: AdamATan2, init_args: {{lr: 0.01}}}}
  scheduler: {{class_path: LinearWarmup, init_args: {{warmup: 9}}}}
data:
  class_path: SudokuData
  init_args: {{size: 4, num_train: 50, num_val: 4, num_test: 4, batch_size: 4, epoch_samples: 40}}
trainer:
  max_epochs: 3
  accelerator: cpu
  logger: {{class_path: CSVLogger, init_args: {{save_dir: ., name: run, version: "{version}"}}}}
  enable_model_summary: false
  enable_progress_bar: false
  callbacks:
    - {{class_path: EMAWeightAveraging, init_args: {{decay: 0.9, use_buffers: false}}}}
    - {{class_path: ModelCheckpoint, init_args: {{every_n_train_steps: 3, save_last: true}}}}
"""

BATCHES = 30

PATHS = {"dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"}


class Kill(NamedTuple):
    """When a run is killed: in a training batch, or at a moment of a save."""

    batch: int  # 0 for none
    seconds: float  # after its start
    moment: int  # counted over all saves of the run; -1 for none


class Outcome(NamedTuple):
    """What became of a killed run: its end, damaged checkpoints, its start."""

    exact: bool
    corrupt: int
    resumed: bool


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two checkpoints differ, except for paths."""
    if isinstance(one, torch.Tensor):
        same = isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [path]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(key, one[key], other[key]) for key in one if key not in PATHS]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        pairs = [(index, *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        return [] if one == other else [path]
    return [found for key, a, b in pairs for found in differences(a, b, f"{path}/{key}")]


def watch_saves(at: Callable[[str], None]) -> None:
    """Call `at` at every moment of every save in this process, with what is about to happen or has."""

    def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            at(name)
            result = function(*arguments)
            at(name)
            return result

        return call

    class Halves(io.FileIO):
        def write(self, data: memoryview) -> int:
            done = super().write(data[: len(data) // 2])
            at("write")
            return done + super().write(data[len(data) // 2 :])

    whole = Path.open

    def opened(path: Path, mode: str = "r", **settings: Any) -> Any:
        return Halves(path, mode) if mode == "xb" else whole(path, mode, **settings)

    Path.open = opened
    os.fsync = around("fsync", os.fsync)
    os.replace = around("rename", os.replace)


def child(pipe: int, folder: Path, arguments: Sequence[str], moment: int) -> None:
    """Run the command line in this process, which may kill itself at a moment of a save; never returns."""
    log = os.open(folder / "log.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    seen: list[str] = []

    def at(name: str) -> None:
        seen.append(name)
        if len(seen) - 1 == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    watch_saves(at)
    tell = LambdaCallback(on_train_batch_start=lambda *_: os.write(pipe, b"."))
    own = recurlight.cli.app.all_callbacks
    recurlight.cli.app.all_callbacks = lambda *given: [*own(*given), tell]
    status = 1
    try:
        status = recurlight_main(["fit", *arguments])
        os.write(pipe, " ".join(seen).encode())
    finally:
        os._exit(status)


def run(folder: Path, arguments: Sequence[str], kill: Kill | None = None) -> tuple[int, float, list[str]]:
    """Fork a run; return its exit status, seconds from the first step on, and moments of its saves."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        child(theirs, folder, arguments, kill.moment if kill else -1)
    os.close(theirs)
    os.read(ours, 1)
    began = time.monotonic()
    for _ in range(kill.batch - 1 if kill else 0):
        os.read(ours, 1)
    if kill and kill.batch:
        time.sleep(kill.seconds)
        os.kill(pid, signal.SIGKILL)
    told = b"".join(iter(lambda: os.read(ours, 1 << 16), b""))
    os.close(ours)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, time.monotonic() - began, told.decode().lstrip(".").split()


def write_recipe(folder: Path, version: str, carry: bool) -> list[str]:
    """Write the configuration of a run and return the arguments that name it."""
    halting, segments = ("CorrectnessHalting", 4) if carry else ("FixedHalting", 1)
    recipe = folder / f"{version}.yaml"
    recipe.write_text(RECIPE.format(halting=halting, segments=segments, version=version))
    return ["--config", str(recipe)]


def draw(random_: random.Random, seconds: float, moments: list[str]) -> Kill:
    """Draw when to kill: at any time, or in a save, where the rarer moments count as much as the writes."""
    if random_.random() < 0.5:
        return Kill(random_.randint(1, BATCHES), random_.uniform(0, 1.5 * seconds / BATCHES), -1)
    kind = random_.choice(["write", "fsync", "rename"])
    return Kill(0, 0, random_.choice([at for at, name in enumerate(moments) if name == kind]))


def killed(folder: Path, kill: Kill, reference: dict[str, Any], carry: bool) -> Outcome:
    """Kill one run, resume it to its end and compare."""
    checkpoints = folder / "run" / "killed" / "checkpoints"
    run(folder, write_recipe(folder, "killed", carry), kill)
    corrupt = sum(bool(flaw(path)) for path in checkpoints.glob("*.ckpt"))
    last = newest_good(checkpoints)
    if last is None or torch.load(last, weights_only=True)["global_step"] < reference["global_step"]:
        resume = ["--ckpt_path", str(last)] if last else []
        run(folder, [*write_recipe(folder, "resumed", carry), *resume])
        end = folder / "run" / "resumed" / "checkpoints" / "last.ckpt"
    else:
        end = last  # it had trained to the end before it was killed
    found = differences(reference, torch.load(end, weights_only=True)) if end.exists() else ["no end"]
    if found:
        print(f"    {kill}, from {last and last.name}: {', '.join(found[:4])} ({len(found)} differ)")
    return Outcome(not found, corrupt, last is not None)


def crash(options: argparse.Namespace, homes: list[Path]) -> list[Outcome]:
    """Train one whole run in the first folder, then kill runs in all of them, turn by turn."""
    carry, random_, outcomes = not options.no_carry, random.Random(options.seed), []
    status, seconds, moments = run(homes[0], write_recipe(homes[0], "whole", carry))
    assert status == 0, (homes[0] / "log.txt").read_text()
    last = homes[0] / "run" / "whole" / "checkpoints" / "last.ckpt"
    reference = torch.load(last, weights_only=True)
    print(f"torch {torch.__version__}; a whole run: {seconds:.1f} s, {len(moments)} moments in its saves")
    begun = time.monotonic()
    for number in range(options.kills):
        folder = Path(tempfile.mkdtemp(dir=homes[number % len(homes)]))
        outcomes.append(killed(folder, draw(random_, seconds, moments), reference, carry))
        shutil.rmtree(folder)
        if number % 10 == 9:
            print(f"{number + 1:4} kills, {time.monotonic() - begun:.0f} s", flush=True)
    return outcomes


def main() -> None:
    """Print a line for each ten kills, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    folders = [Path(tempfile.gettempdir()), Path("/dev/shm")]
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--folders", nargs="+", type=Path, default=folders, help="on several file systems")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-carry", action="store_true", help="one segment for each sample")
    options = parser.parse_args()
    torch.set_num_threads(1)
    homes = [Path(tempfile.mkdtemp(prefix="crash-", dir=folder)) for folder in options.folders]
    os.environ["RECURLIGHT_CACHE"] = str(homes[0] / "cache")
    try:
        outcomes = crash(options, homes)
    finally:
        for home in homes:
            shutil.rmtree(home)
    devices = len({os.stat(folder).st_dev for folder in options.folders})
    exact, corrupt, resumed = (sum(column) for column in zip(*outcomes, strict=True))
    print(f"{len(homes)} folders on {devices} file systems; {resumed} runs had a checkpoint to go on from;")
    print(f"{exact}/{len(outcomes)} resumed bit-exact, {corrupt} corrupt")
    sys.exit(exact != len(outcomes) or corrupt > 0)


if __name__ == "__main__":
    main()
