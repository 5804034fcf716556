"""Checkpoints that are enough: they tell how the model and its data were made, by whichever program."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from recurlight.checkpoints import contents
from recurlight.checkpoints.io import DurableCheckpointIO, verify_source
from recurlight.checkpoints.nearby import reading
from recurlight.checkpoints.trust import Trust
from recurlight.data.base import PuzzleData
from recurlight.errors import CheckpointMismatch, Unrecordable, UntrustedCode
from recurlight.spec import Description, Recorded, describe, from_spec, to_spec
from recurlight.spec.names import hints, import_path
from recurlight.spec.read import require_arguments
from recurlight.training.attached import attached_data, attached_module

__all__ = ["Reloadable", "class_path"]


class Reloadable(Recorded, LightningModule):
    """A LightningModule whose checkpoints are loaded in one call, wherever they were written.

    A checkpoint holds the constructor's arguments as plain data, the same whether Python or the command line
    made the model, and the data module's beside them; so it loads without pickle, and again after training a
    model that was itself loaded.
    """

    @functools.cached_property
    def description(self) -> Description:
        """The constructor's arguments as plain data; what cannot be written is warned of, once."""
        try:
            found = describe(self)
        except Unrecordable as error:
            found = Description({}, {"the model": str(error)})
        self._warn(found)
        return found

    def _warn(self, found: Description) -> None:
        for name, reason in found.unrecorded.items():
            rank_zero_warn(
                f"{type(self).__name__}: checkpoints will not hold {name} ({reason}); "
                f"give it again when you load one: load_from_checkpoint(path, {name}=...)"
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled; a spawned process would share all tensors with the others."""
        super().__setstate__(state)  # type: ignore[no-untyped-call,unused-ignore]
        self._apply(_unshared)  # type: ignore[no-untyped-call,unused-ignore]  # metrics and tables know theirs

    def changed(self) -> dict[str, Any]:
        """Return the constructor's arguments that would be others now; checkpoints hold these."""
        return {}

    _trained_on: dict[str, Any] | None = None
    """How the data of the last training, or of the checkpoint's, were made; empty where they do not tell, and
    None where nothing is known of them."""

    _task: dict[str, Any] | None = None
    """How the questions of these data are written and their answers judged, see `contents.task_in`."""

    def setup(self, stage: str) -> None:
        """Show the loggers how the model was made."""
        if stage == "fit" and (self.trainer.loggers or self.trainer.checkpoint_callbacks):
            self.save_hyperparameters(self.description.arguments)

    def _note_data(self) -> None:
        """Keep how the data were made that it is trained on from now."""
        self._trained_on = _how_made(attached_module(self.trainer))
        self._task = _task_of(attached_data(self.trainer))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write how the model and its data were made, and by which versions."""
        checkpoint.pop(self.CHECKPOINT_HYPER_PARAMS_NAME, None)
        made, now = self.description, describe(self, self.changed())
        self._warn(now)
        checkpoint[contents.MODEL] = made.arguments | now.arguments
        lost = made.unrecorded | now.unrecorded
        unrecorded = {name: why for name, why in lost.items() if name not in now.arguments}
        checkpoint[contents.STAMP] = contents.stamp() | {
            "model": class_path(type(self)),
            "unrecorded": unrecorded,
        }
        if self._trained_on is None or self._task is not None:  # else its data can be asked
            task = _task_of(attached_data(self.trainer)) if self._task is None else self._task
            checkpoint[contents.STAMP]["task"] = task
        data = _how_made(attached_module(self.trainer)) if self._trained_on is None else self._trained_on
        checkpoint |= contents.data_settings(data) if data else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a damaged checkpoint, and one of a newer format.

        Raises:
            CheckpointError: The file is damaged.
            CheckpointMismatch: It is of a newer format; with the versions.
        """
        verify_source(self)
        contents.require_readable(checkpoint)
        self.note_origin(checkpoint)

    def note_origin(self, checkpoint: Mapping[str, Any]) -> None:
        """Keep how the data of a checkpoint's training were made, to compare others with them."""
        self._trained_on = contents.data_made_with(checkpoint)
        self._task = contents.task_in(checkpoint)

    def _compare_data(self) -> None:
        """Warn of data that hold out other puzzles than training's; see `PuzzleData.divided_otherwise`."""
        there, data = self._trained_on, attached_data(self.trainer)
        here = _how_made(data) if there else {}
        if data is None or not there or not here or there["class_path"] != here["class_path"]:
            return
        then, now = (made.get("init_args", {}) for made in (there, here))
        if other := data.divided_otherwise(then, now):
            were, are = (", ".join(f"{name}={made[name]}" for name in other) for made in (then, now))
            rank_zero_warn(
                f"the model was trained on {type(data).__name__} with {were}, and these have {are}: what was "
                f"held out is divided or judged otherwise, and it may have been trained on what it is asked "
                f"here: give the data {were}"
            )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's, without what only pickles need
        cls,
        checkpoint_path: str | Path,
        map_location: Any = "cpu",
        strict: bool | None = None,
        trust: Sequence[str] = (),
        **changes: Any,
    ) -> Self:
        """Make the model that a checkpoint describes, with its weights.

        No code is read from the file, and the classes that it names must be recurlight's or torch's, those
        of your program or of the current folder, or of a package that you trust.

        Args:
            checkpoint_path: Path of the file.
            map_location: Where the weights go, as in `torch.load`.
            strict: Refuse other names of weights; None for the model's `strict_loading`.
            trust: Packages whose classes the checkpoint may name as well.
            **changes: Arguments of the constructor that are not taken from the checkpoint.

        Raises:
            CheckpointError: The file was cut off or changed; the message names the newest good one beside it.
            UntrustedCode: The file holds Python objects, or names code that it may not import.
            CheckpointMismatch: It is of a newer version, or does not fit this one.
        """
        checkpoint = DurableCheckpointIO().load_checkpoint(checkpoint_path, map_location, weights_only=True)
        try:
            with reading(checkpoint_path):
                model: Self = _make(cls, checkpoint, Trust(trust), changes)
        except (CheckpointMismatch, UntrustedCode) as error:
            raise type(error)(f"{checkpoint_path}: {error}") from error
        model.on_load_checkpoint(checkpoint)
        weights = checkpoint["state_dict"]
        model.load_state_dict(weights, strict=model.strict_loading if strict is None else strict)
        return model.to(next((weight.device for weight in weights.values()), "cpu"))


def _how_made(data: LightningDataModule | None) -> dict[str, Any]:
    """Return how data were made, as a configuration says it; empty where they do not tell."""
    if not isinstance(data, Recorded):
        return {}
    try:
        return dict(to_spec(data))
    except Unrecordable as error:
        rank_zero_warn(f"{type(data).__name__}: checkpoints will not hold the settings of the data ({error})")
        return {}


def _task_of(data: PuzzleData | None) -> dict[str, Any]:
    """Return how questions are written and answers judged, as far as data tell and it can be written."""
    told = {} if data is None else {"wording": data.wording(), "rules": data.rules()}
    found: dict[str, Any] = {}
    for name, part in told.items():
        try:
            found |= {} if part is None else {name: to_spec(part)}
        except Unrecordable as error:
            rank_zero_warn(f"{type(data).__name__}: checkpoints will not hold its {name} ({error})")
    return found


def class_path(kind: type) -> str:
    """Return the class path of a model, or what comes closest."""
    try:
        return import_path(kind)
    except Unrecordable:
        return f"{kind.__module__}.{kind.__qualname__}"


def _make(kind: type[Any], checkpoint: dict[str, Any], trust: Trust, changes: dict[str, Any]) -> Any:
    """Call the constructor with the checkpoint's arguments and the changes."""
    contents.require_readable(checkpoint)
    made = contents.made_by(checkpoint)
    if made and made.rpartition(".")[2] != kind.__name__:
        raise CheckpointMismatch(
            f"it is of the class {made}: use {made.rpartition('.')[2]}.load_from_checkpoint, for "
            f"{kind.__name__} may give its settings another meaning"
        )
    missing = {name: why for name, why in contents.unrecorded(checkpoint).items() if name not in changes}
    if missing:
        name, why = next(iter(missing.items()))
        raise CheckpointMismatch(f"{name} could not be written into it ({why}): pass {name}=...")
    given = {name: value for name, value in contents.made_with(checkpoint).items() if name not in changes}
    require_arguments(kind.__name__, kind, given)
    types = hints(kind)
    return kind(**{name: from_spec(spec, trust, types.get(name)) for name, spec in given.items()}, **changes)


def _unshared(tensor: Tensor) -> Tensor:
    """Return a tensor that no other process writes to."""
    shared = tensor.device.type == "cpu" and tensor.is_shared()  # type: ignore[no-untyped-call,unused-ignore]
    return tensor.clone() if shared else tensor
