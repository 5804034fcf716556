"""Few lines instead of bars, where no terminal shows bars."""

import re

import pytest
from helpers import module, trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from resuming import Shifts

from recurlight.callbacks import ProgressLines
from recurlight.cli.callbacks import all_callbacks

N = r"\d[^\s,]*"


def lines(capsys, **settings):
    """Return the lines of progress of a short run."""
    capsys.readouterr()
    run = trainer(callbacks=[ProgressLines()], enable_progress_bar=True, log_every_n_steps=1, **settings)
    run.fit(module(), Shifts(batch_size=4, epoch_samples=16))
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]


def test_a_line_is_written_for_an_epoch_and_its_validation(capsys):
    told = lines(capsys, max_epochs=2, num_sanity_val_steps=1)
    assert [line.partition(":")[0] for line in told] == ["epoch 0, step 4", "epoch 1, step 8"]
    for line in told:
        held_out = f"val/loss {N}, val/exact_accuracy {N}"
        figures = f"training loss {N}, exact {N}, segments {N}, {held_out}, {N} steps/s"
        assert re.fullmatch(f".*: {figures}", line), line


def test_a_validation_within_an_epoch_has_a_line_of_its_own(capsys):
    told = lines(capsys, max_epochs=1, val_check_interval=2)
    assert [line.partition(":")[0] for line in told] == ["epoch 0, step 2", "epoch 0, step 4"]


def test_a_run_that_does_not_validate_has_a_line_for_an_epoch(capsys):
    assert len(lines(capsys, max_epochs=3, limit_val_batches=0)) == 3


@pytest.mark.parametrize(("terminal", "kind"), [(True, TQDMProgressBar), (False, ProgressLines)])
def test_the_command_line_asks_whether_there_is_a_terminal(terminal, kind, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    chosen = all_callbacks({}, "fit", None)
    assert [type(one) for one in chosen if isinstance(one, TQDMProgressBar | ProgressLines)] == [kind]
