"""Stopping at the first NaN or infinity."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import Optimizer

from recurlight.callbacks.guards.agreement import Agreement
from recurlight.callbacks.guards.evidence import Evidence, gradients, silence
from recurlight.callbacks.guards.saved import last_saved
from recurlight.errors import NonFiniteError
from recurlight.ranks import gather_objects
from recurlight.training.module import RecursiveModule

__all__ = ["StopOnNonFinite"]


class StopOnNonFinite(Callback):
    """Ends training at the first step whose loss, gradient or carry holds NaN or infinity.

    The error names the step, the rank, the tensors and the last checkpoint. The step's update is not applied,
    and no checkpoint is written after it; all ranks end together.

    On a CUDA device no step waits for the check. A flaw zeroes the step's gradients on the device, so that
    weights and optimizer states stay finite, and ends training one step later; a step without one keeps every
    bit. Elsewhere the optimizer is not called.

    With `16-mixed` precision, overflowing gradients belong to the search for the loss scale and are left to
    it; losses and carries are watched as ever. The command line adds this callback to `fit`.

    Raises:
        NonFiniteError: A value is not finite.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[StopOnNonFinite()], accelerator="cpu", logger=False)
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, whatever an earlier run met."""
        precision = trainer.precision_plugin
        self.scaled = isinstance(precision, MixedPrecision) and precision.scaler is not None
        self.losses: list[Tensor] = []
        self.evidence: list[Evidence] = []
        self.agreement = Agreement()
        self.flawed = ""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Remember the loss of a micro-batch."""
        self.losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at this step, and stop if it or one before it has a flaw that is known by now."""
        assert isinstance(pl_module, RecursiveModule)
        grads = {} if self.scaled else gradients(pl_module)
        found = Evidence.of(trainer.global_step + 1, self.losses, grads, pl_module.carries.magnitudes())
        self.losses = []
        self.evidence.append(found)
        flaw = self.agreement.ask(found.flaw())
        self._settle(trainer, all_of_them=False)
        if self.agreement.late:  # the optimizer is called before anyone here knows
            silence(grads.values(), flaw)

    def _settle(self, trainer: Trainer, all_of_them: bool = True) -> None:
        """Raise for the first step that has a flaw, and forget the steps that are known to have none.

        Args:
            trainer: Whose steps they are.
            all_of_them: Also the newest, although that waits for the device.
        """
        for flaw in () if self.flawed else self.agreement.answers(all_of_them):
            if flaw:
                self.flawed = _message(trainer, self.evidence[0])
                break
            del self.evidence[0]
        if self.flawed:  # be it since an earlier call: other callbacks may still want to save
            raise NonFiniteError(self.flawed)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to save what a flawed step has left, and weights that overflowed in the optimizer itself."""
        self._settle(trainer)
        if broken := _broken(pl_module):
            self.flawed = (
                f"{broken} are not finite after training step {trainer.global_step}; {last_saved(trainer)}"
            )
            raise NonFiniteError(self.flawed)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate only what is sound."""
        self._settle(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not end on a flaw."""
        self._settle(trainer)


def _message(trainer: Trainer, evidence: Evidence) -> str:
    """Say what is not finite, and where; every rank learns what the others found."""
    broken = _broken(trainer.lightning_module)
    findings = gather_objects([f"{broken} even before it"] if broken else evidence.findings())
    told = [f"on rank {rank} {', '.join(found)}" for rank, found in enumerate(findings) if found]
    where = f"training step {evidence.step} is not finite: {'; '.join(told)}"
    return f"{where}. Its update was not applied; {last_saved(trainer)}"


def _broken(module: LightningModule) -> str:
    """Name the first weights that are not finite; an empty string when all are."""
    names = [name for name, weight in module.named_parameters() if not weight.isfinite().all()]
    return f"the weights {', '.join(names[:3])}" if names else ""
