"""Models and trainers that live on: whatever they did before, figures are those of a fresh model.

Each order of calls runs in one process with one trainer, and after every call its figures are compared with
those of a model just made, with the same weights, under a trainer just made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import lightning.pytorch as pl
import pytest
from helpers import batch, loader, module, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from resuming import differences

from recurlight.training.module import RecursiveModule

TRAIN = [batch(4, seed=seed) for seed in range(3)]
HELD_OUT = [batch(6, seed=11), batch(2, seed=12)]


class Halt(pl.Callback):
    """Raises in a batch of one kind."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error, self.where = error, ""

    def _at(self, where: str) -> None:
        if where == self.where:
            raise self.error

    def on_before_optimizer_step(self, *_):
        self._at("train")

    def on_validation_batch_end(self, *_):
        self._at("validate")

    def on_test_batch_end(self, *_):
        self._at("test")

    def on_predict_batch_end(self, *_):
        self._at("predict")


class Life:
    """A model and a trainer, and what is done with them."""

    def __init__(self, path, averaging: bool, error: type[BaseException]) -> None:
        self.path, self.averaging, self.halt = path, averaging, Halt(error)
        self.model = self.fresh_model()
        self.new()

    @staticmethod
    def fresh_model(seed: int = 0) -> RecursiveModule:
        return module(exploration=0.0, seed=seed)  # whose draws would depend on the trainer's step

    def fresh(self, *callbacks) -> pl.Trainer:
        average = [EMAWeightAveraging(decay=0.5, use_buffers=False)] if self.averaging else []
        return trainer(max_epochs=0, callbacks=[*average, *callbacks])

    def new(self) -> None:
        """Go on with another trainer."""
        self.trainer = self.fresh(self.halt)

    def reload(self) -> None:
        """Go on with a model loaded from a checkpoint of this one."""
        self.trainer.strategy.connect(self.model)
        self.trainer.save_checkpoint(self.path)
        self.model = RecursiveModule.load_from_checkpoint(self.path).double()

    def other(self) -> None:
        """Go on with a model of other weights."""
        self.model = self.fresh_model(seed=5)

    def elsewhere(self) -> None:
        """Train the model with a trainer that is then forgotten."""
        self.run(self.fresh(), self.model, "fit")

    def twin(self) -> RecursiveModule:
        """Make a model with the same weights and no past."""
        model = self.fresh_model()
        model.load_state_dict(self.model.state_dict())
        return model

    @staticmethod
    def run(runner: pl.Trainer, model: RecursiveModule, call: str):
        """Carry out a call; return its figures and the count, or its answers."""
        if call == "predict":
            return [part.logits for part in runner.predict(model, loader(HELD_OUT))]
        if call == "fit":
            runner.fit_loop.max_epochs = runner.current_epoch + 1
            runner.fit(model, loader(TRAIN), loader(HELD_OUT))
            return dict(runner.callback_metrics), model.measured, list(model.state_dict().values())
        (figures,) = getattr(runner, call)(model, loader(HELD_OUT), verbose=False)
        return figures, model.measured

    def compare(self, call: str) -> None:
        twin = self.twin()
        wanted = self.run(self.fresh(), twin, call)
        assert differences(self.run(self.trainer, self.model, call), wanted) == []

    def abort(self, call: str) -> None:
        """Begin a call that an error ends; `fit` in its validation."""
        self.halt.where = {"fit": "validate", "train": "train"}.get(call, call)
        with contextlib.suppress(self.halt.error, SystemExit):
            self.run(self.trainer, self.model, "fit" if call == "train" else call)
        self.halt.where = ""

    def live(self, order: str) -> None:
        for word in order.split():
            if word.endswith("!"):
                self.abort(word[:-1])
            elif word in ("new", "reload", "other", "elsewhere"):
                getattr(self, word)()
            else:
                self.compare(word)


ORDERS = [
    "fit validate test predict fit",
    "validate fit test fit validate",
    "test predict fit validate fit test",
    "predict fit predict new fit test",
    "validate new fit new validate new fit",
    "fit reload validate fit test",
    "test reload fit reload predict fit",
    "validate! validate fit validate",
    "test! test fit! new fit test",
    "predict! predict test! fit",
    "fit! test validate new fit",
    "train! test validate new fit validate",
    "fit other validate test predict fit",
    "fit elsewhere validate test fit",
    "fit validate! test! other validate new fit",
]


@pytest.fixture(params=[False, True], ids=["plain", "averaging"])
def averaging(request) -> Iterator[bool]:
    return request.param


@pytest.mark.parametrize("order", ORDERS)
def test_what_was_done_before_changes_no_figure(tmp_path, averaging, order):
    Life(tmp_path / "x.ckpt", averaging, ZeroDivisionError).live(order)


@pytest.mark.parametrize("call", ["validate", "test", "fit"])
def test_ctrl_c_in_an_evaluation_leaves_nothing_behind(tmp_path, averaging, call):
    Life(tmp_path / "x.ckpt", averaging, KeyboardInterrupt).live(f"{call}! test validate new fit")
