"""The contract of curricula: a pure function of seed and step, in force for that step alone."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from recurlight.callbacks.curricula.fitted import fitted
from recurlight.errors import IncompatibleComponents
from recurlight.recursion.driver import Recursion
from recurlight.spec import describe
from recurlight.training.module import RecursiveModule
from recurlight.training.run import RUN_KEY, steps_of
from recurlight.training.stated import StatedCallback, spelled

__all__ = ["Curriculum", "Moment"]


_LOOKS = 100
"""Steps of a run at which two lengths of it are compared."""


class Moment(NamedTuple):
    """All that a curriculum may know.

    Attributes:
        seed: Seed of the model.
        step: Optimizer steps taken before this one.
        total: Optimizer steps of the run; None where no end is known.
        stated: Composition that the model states, by the names of `Recursion.reconfigure`.
    """

    seed: int
    step: int
    total: int | None
    stated: Mapping[str, Any]

    def at(self, share: float) -> int:
        """Return the step at which a share of the run is over.

        Args:
            share: In [0, 1].

        Raises:
            IncompatibleComponents: Nobody knows how long the run is.

        Example:
            >>> Moment(seed=0, step=0, total=1000, stated={}).at(0.3)
            300
        """
        if self.total is None:
            raise IncompatibleComponents(
                "the curriculum counts in shares of the run, and this one has no known end: set "
                "trainer.max_steps"
            )
        return round(share * self.total)


class Curriculum(StatedCallback, ABC):
    """What changes the composition with the step: cycles, truncation, segments or updates of the refiner.

    `Recursion.reconfigure(**change(moment))` before each optimizer step, for all micro-batches of it

    A change is a pure function of seed and step. So a run that is resumed at any step goes on as if it had
    not been interrupted, every rank does the same, and nothing is kept in checkpoints but the settings. It
    holds while a batch is trained on: validation, test and prediction, during and after training, run with
    the composition that the model states, and checkpoints state that one too, with the curricula beside it.
    So do fingerprints. Where a change makes the segment shorter than the window of the truncation, gradient
    goes through what there is.

    Several curricula may change different settings. Write `settings`, `change` and `extremes` for your own.
    """

    settings: ClassVar[tuple[str, ...]]
    """What it changes, by the names of `Recursion.reconfigure`."""

    decided_by: ClassVar[tuple[str, ...]] = ()
    """Arguments of its own from which it takes them, named where the model refuses a change; () for all."""

    _total: int | None = None
    _then: int | None = None  # as many had the run that is gone on with

    @abstractmethod
    def change(self, moment: Moment) -> dict[str, Any]:
        """Return what is other than stated in this step; a pure function.

        Args:
            moment: What it may depend on.

        Returns:
            Arguments of `Recursion.reconfigure`, of those that `settings` names.
        """

    @abstractmethod
    def extremes(self, stated: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        """Return changes between which all others lie: they are tried before the first step.

        Args:
            stated: Composition that the model states.
        """

    def generator(self, moment: Moment) -> np.random.Generator:
        """Return a generator of the class, the seed and the step alone, for `change` to draw from.

        Args:
            moment: The step that is drawn for.
        """
        text = f"{type(self).__name__} {moment.seed} {moment.step}"
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Try what it will change.

        Raises:
            IncompatibleComponents: The model cannot be so, is no `RecursiveModule`, or another curriculum
                changes the same setting.
        """
        if stage != "fit":
            return
        recursion, name = _recursion(pl_module, self), type(self).__name__
        _require_alone(self, trainer.callbacks)  # type: ignore[attr-defined]
        for change in self.extremes(recursion.stated):
            try:
                self._apply(recursion, change)
            except IncompatibleComponents as error:
                sets = " and ".join(f"{setting}={value!r}" for setting, value in change.items())
                who = spelled({name: describe(self).arguments})
                own = [one for one in self.decided_by if one in change] or self.decided_by or ("arguments",)
                raise IncompatibleComponents(
                    f"{who} sets {sets} in some step: {error}; {name} takes {' and '.join(change)} from its "
                    f"{' and '.join(own)}, not from the model"
                ) from error
            finally:
                recursion.restore()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out how long the run is, and whether that will do."""
        self._total = steps_of(trainer)
        moment = self._moment(trainer, _recursion(pl_module, self))
        self.change(moment)
        if self._then and self._total and self._counts_in_shares(moment):
            rank_zero_warn(
                f"the checkpoint is of a run of {self._then} steps and this one has {self._total}, in which "
                f"{type(self).__name__} does otherwise: training goes on, but not as it would have; set "
                f"trainer.max_steps to {self._then} to go on alike"
            )
        self._then = None

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep how long the run was that a checkpoint is of."""
        self._then = checkpoint.get(RUN_KEY, {}).get("steps")

    def _counts_in_shares(self, moment: Moment) -> bool:
        """Tell whether the length of a run changes what is done in it, by looking at steps all over it."""
        longest = max(self._then or 0, self._total or 0)
        looks = (moment._replace(step=step) for step in range(0, longest, max(1, longest // _LOOKS)))
        return any(self.change(one) != self.change(one._replace(total=self._then)) for one in looks)

    def _moment(self, trainer: Trainer, recursion: Recursion) -> Moment:
        return Moment(recursion.seed, trainer.global_step, self._total, recursion.stated)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Change the composition for this batch."""
        recursion = _recursion(pl_module, self)
        self._apply(recursion, self.change(self._moment(trainer, recursion)))

    def _apply(self, recursion: Recursion, change: dict[str, Any]) -> None:
        """Change the composition for now, and let the window be as long as there is room for."""
        recursion.reconfigure(**fitted(recursion, change), for_now=True)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the composition back, for callbacks that ask the model at the end of the batch."""
        if pl_module.automatic_optimization:
            _recursion(pl_module, self).restore()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Bring the composition back, where the module itself differentiates."""
        _recursion(pl_module, self).restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Bring the composition back, for what comes after a run that was broken off."""
        _recursion(pl_module, self).restore()


def _recursion(module: LightningModule, curriculum: Curriculum) -> Recursion:
    """Return the driver of a module."""
    if not isinstance(module, RecursiveModule):
        raise IncompatibleComponents(
            f"{type(curriculum).__name__} changes the composition of a RecursiveModule, and "
            f"{type(module).__name__} is none: leave it out of trainer.callbacks"
        )
    return module.recursion


def _require_alone(curriculum: Curriculum, callbacks: Iterable[Callback]) -> None:
    """Refuse another curriculum that changes the same."""
    others = (one for one in callbacks if isinstance(one, Curriculum) and one is not curriculum)
    for other in others:
        if both := [name for name in curriculum.settings if name in other.settings]:
            names = f"{type(curriculum).__name__} and {type(other).__name__}"
            raise IncompatibleComponents(
                f"trainer.callbacks: {names} both change {both[0]} with the step: keep one of them"
            )
