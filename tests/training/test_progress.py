"""The running figures of training, from one carry to the next."""

from __future__ import annotations

import pytest
import torch
from helpers import batch, loader, module, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ProgressBar
from torch.utils._python_dispatch import TorchDispatchMode

from recurlight.cli.callbacks import all_callbacks
from recurlight.optim import AdamATan2
from recurlight.training.progress import Progress
from recurlight.types import Carry

ROWS = 4


def carry(ages, halted) -> Carry:
    flags = torch.tensor(halted, dtype=torch.bool)
    return Carry(None, batch(ROWS), torch.tensor(ages, dtype=torch.int32), flags)


def figures(progress: Progress) -> dict[str, float]:
    return {name: value.item() for name, value in progress.figures().items() if name != "loss"}


LOSS = torch.tensor(2.5, requires_grad=True)


START = carry([0, 0, 0, 0], [1, 1, 1, 1])
NOTHING_RIGHT = torch.zeros(ROWS, dtype=torch.bool)


def test_only_samples_that_are_finished_count():
    progress = Progress()
    right = torch.tensor([True, True, False, False])
    progress.update(LOSS, START, carry([5, 2, 7, 3], [1, 0, 1, 0]), right)
    assert figures(progress) == pytest.approx({"exact": 1 / 2, "segments": (5 + 7) / 2})


def test_a_right_answer_counts_when_its_slot_halts_and_not_before():
    progress = Progress()
    progress.update(LOSS, START, carry([1, 1, 1, 1], [0, 0, 0, 0]), ~NOTHING_RIGHT)
    assert figures(progress) == {"exact": 0.0, "segments": 0.0}
    progress.update(
        LOSS, carry([1, 1, 1, 1], [0, 0, 0, 0]), carry([2, 2, 2, 2], [0, 0, 0, 1]), ~NOTHING_RIGHT
    )
    assert figures(progress) == {"exact": 1.0, "segments": 2.0}


def test_samples_are_those_that_slots_took():
    progress = Progress()
    first, second = carry([1, 1, 1, 1], [0, 1, 0, 0]), carry([2, 1, 2, 2], [1, 1, 1, 0])
    progress.update(LOSS, START, first, NOTHING_RIGHT)
    assert progress.samples.item() == 4
    progress.update(LOSS, first, second, NOTHING_RIGHT)
    progress.update(LOSS, second, carry([1, 1, 1, 3], [0, 0, 0, 0]), NOTHING_RIGHT)
    assert progress.samples.item() == 4 + 1 + 3
    assert progress.samples.dtype == torch.int64  # float32 stops counting at 16,777,216


def test_finished_samples_weigh_by_number_and_the_past_fades():
    progress = Progress()
    progress.update(LOSS, START, carry([4, 4, 4, 4], [1, 1, 1, 1]), ~NOTHING_RIGHT)
    progress.update(LOSS, START, carry([1, 2, 9, 9], [1, 1, 0, 0]), NOTHING_RIGHT)
    whole = 0.99 * 4 + 2
    assert figures(progress) == pytest.approx(
        {"exact": 0.99 * 4 / whole, "segments": (0.99 * 16 + 3) / whole}
    )
    for _ in range(2000):
        progress.update(LOSS, START, carry([3, 3, 3, 3], [1, 0, 0, 0]), NOTHING_RIGHT)
    assert figures(progress) == pytest.approx({"exact": 0.0, "segments": 3.0}, abs=1e-5)


def test_figures_are_tensors_without_history():
    progress = Progress()
    progress.update(LOSS, START, carry([4, 4, 4, 4], [1, 1, 1, 1]), ~NOTHING_RIGHT)
    for value in (*progress.figures().values(), progress.samples):
        assert value.shape == ()
        assert not value.requires_grad


def test_the_loss_is_shown_without_its_history():
    """Fails if the loss of a step keeps its graph alive until the next."""
    progress = Progress()
    progress.update(LOSS * 2, START, carry([4, 4, 4, 4], [1, 1, 1, 1]), NOTHING_RIGHT)
    assert progress.figures()["loss"].item() == 5.0
    assert not progress.figures()["loss"].requires_grad


def test_figures_go_on_from_a_saved_state():
    """Fails if a sum is left out of it, or if later steps change what was saved."""
    first, second = Progress(), Progress()
    steps = [([4, 3, 4, 2], [1, 0, 1, 0]), ([1, 2, 9, 9], [1, 1, 0, 0]), ([3, 3, 1, 1], [0, 0, 0, 1])]
    first.update(LOSS, START, carry(*steps[0]), ~NOTHING_RIGHT)
    saved = first.state_dict()
    for step in steps[1:]:
        first.update(LOSS, START, carry(*step), NOTHING_RIGHT)
    second.load_state_dict(saved)
    for step in steps[1:]:
        second.update(LOSS, START, carry(*step), NOTHING_RIGHT)
    assert figures(first) == figures(second)
    assert first.samples.item() == second.samples.item() == 12


def test_a_fresh_state_is_that_of_a_fresh_run():
    """Fails if a second run goes on from the figures of the first."""
    progress = Progress()
    progress.update(LOSS, START, carry([4, 3, 4, 2], [1, 0, 1, 0]), ~NOTHING_RIGHT)
    progress.load_state_dict(Progress().state_dict())
    assert figures(progress) == {"exact": 0.0, "segments": 0.0}
    assert progress.samples.item() == 0


class Reads(TorchDispatchMode):
    """Counts the numbers that the host reads of tensors: each would wait for an accelerator."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **(kwargs or {}))


def reads(steps: int, bar: bool) -> int:
    """Count those of a whole run as recipes have it, with or without the bar of the command line."""
    chosen = all_callbacks({"enable_progress_bar": bar}, "fit", None)
    settings = {
        "enable_progress_bar": bar,
        "callbacks": [one for one in chosen if isinstance(one, ProgressBar)]
        + [EMAWeightAveraging(decay=0.9, use_buffers=False)],
    }
    run = trainer(max_steps=steps, log_every_n_steps=10, limit_val_batches=0, **settings)
    with Reads() as watch:
        run.fit(module(optimizer=AdamATan2), loader([batch(seed=step) for step in range(steps)]))
    assert set(run.progress_bar_metrics) == ({"loss", "exact", "segments"} if bar else set())
    return watch.count


def test_a_step_reads_nothing_back_from_the_device():
    """Fails if a logger, the bar, a check or the average of the weights waits at every step."""
    assert reads(39, bar=False) == reads(9, bar=False)
    assert reads(39, bar=True) - reads(9, bar=True) <= 3 * 3  # three figures, every tenth step
