"""Curricula on the smallest models, and what a run with one does."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from helpers import batch, loader, module, trainer

from recurlight.callbacks import DepthCurriculum, RandomDepth, RandomWindow, WindowCurriculum
from recurlight.truncation import LastCycles, LastUpdates

CASES = {
    "random window": (lambda: RandomWindow(most=4), LastCycles(1)),
    "random depth": (lambda: RandomDepth(mean=3.0, most=6), LastUpdates(6)),
    "uniform depth": (lambda: RandomDepth(least=1, most=4), LastUpdates(6)),
    "growing window": (lambda: WindowCurriculum(first=2, last=4, share=0.6), LastCycles(1)),
    "growing depth": (
        lambda: DepthCurriculum(cycles=[1, 2, 3], latent_steps=[1, 2, 4], starts=[0, 0.3, 0.6]),
        LastUpdates(5),
    ),
}
"""A curriculum, and a truncation that the model states, by name."""


class Watch(pl.Callback):
    """Notes the composition of every batch that is trained on, by step, and of each that is evaluated."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, dict[str, Any]]] = []
        self.evaluated: list[dict[str, Any]] = []

    def on_before_backward(self, trainer, pl_module, loss):
        self.trained.append((trainer.global_step, plain(pl_module.recursion)))

    def evaluates(self, trainer, pl_module, *_):
        self.evaluated.append(plain(pl_module.recursion))

    on_train_batch_end = on_validation_batch_end = on_test_batch_end = on_predict_batch_end = evaluates


def plain(recursion) -> dict[str, Any]:
    """The composition, with the updates that carry gradient in place of the truncation."""
    schedule = recursion.refiner.schedule()
    mask = recursion.truncation.mask(schedule, recursion.cycles)
    return {"cycles": recursion.cycles, "updates": len(mask), "gradient": sum(mask)}


def made(name: str, **settings):
    """A model that states two cycles of three updates."""
    return module(truncation=CASES[name][1], **settings)


def fit(name: str, model=None, steps: int = 10, watch=None, **settings):
    """Train with a curriculum, and return what was seen."""
    watch, model = watch or Watch(), model or made(name)
    run = trainer(max_steps=steps, callbacks=[watch, CASES[name][0]()], **settings)
    run.fit(model, loader([batch(4, seed=step) for step in range(40)]), loader([batch(4, seed=99)]))
    return watch, model, run
