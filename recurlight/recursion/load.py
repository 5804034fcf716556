"""The driver that a checkpoint describes, without the LightningModule around it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recurlight.checkpoints import files
from recurlight.checkpoints.backbones import require_same_backbone
from recurlight.checkpoints.contents import made_by, made_with, require_readable, unrecorded
from recurlight.checkpoints.hub import fetched
from recurlight.checkpoints.nearby import reading
from recurlight.checkpoints.trust import Trust
from recurlight.errors import CheckpointMismatch, UntrustedCode
from recurlight.optim.groups import frozen_parts
from recurlight.recursion.driver import Recursion
from recurlight.spec import from_spec
from recurlight.spec.given import checked
from recurlight.spec.names import hints
from recurlight.types import Sizes

__all__ = ["Loaded", "load_recursion"]

SETTINGS = {"vocab": "vocab_size", "tokens": "seq_len", "tasks": "num_tasks", "grid": "grid_shape"}
"""What checkpoints call sizes, where that is another word."""

EVALUATION = {"eval_segments": "max_segments", "eval_adaptive": "adaptive", "eval_cycles": "cycles"}
"""What checkpoints call the arguments of `Recursion.solve`."""

PREFIX = "recursion."

OURS = "recurlight.RecursiveModule"


class Loaded(NamedTuple):
    """A driver, and how its checkpoint evaluates.

    Attributes:
        recursion: With the checkpoint's weights, the averaged ones if it has any, in evaluation mode.
        evaluation: Arguments of `Recursion.solve`, with which it answers.
    """

    recursion: Recursion
    evaluation: dict[str, Any]


@checked
def load_recursion(path: str | Path, map_location: str = "cpu", trust: Sequence[str] = ()) -> Loaded:
    """Make the driver that a checkpoint of `RecursiveModule` describes; Lightning is not imported.

    For programs that answer questions, or train in a loop of their own. No code is read from the file, and
    the classes that it names must be recurlight's or torch's, those of your program or of the current folder,
    or of a package that you trust. The loss, the optimizer and the state of training stay in the file. What
    parts draw comes from your own seed, `torch.manual_seed`; `eval_seed` is the module's business.

    Args:
        path: A checkpoint, trained or imported.
        map_location: Device of the weights, as in `torch.load`.
        trust: Packages whose classes the checkpoint may name as well.

    Raises:
        CheckpointError: There is no such file, or it was cut off or changed.
        UntrustedCode: The file holds Python objects, or names code that it may not import.
        CheckpointMismatch: It is of a newer version, or its model is made of other settings.

    Example:
        >>> recursion, evaluation = load_recursion("last.ckpt")
        Traceback (most recent call last):
        recurlight.errors.CheckpointError: last.ckpt: there is no such file; name the file of a checkpoint
    """
    return recursion_of(read_checkpoint(path, map_location), path, map_location, trust)


def read_checkpoint(path: str | Path, map_location: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint of recurlight.

    Raises:
        CheckpointError: There is no such file, or it was cut off or changed.
        CheckpointMismatch: It holds something else.
    """
    path = fetched(path)
    files.require_file(path)
    checkpoint = files.read(path, map_location)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointMismatch(f"{path}: no checkpoint of recurlight, it has no 'state_dict'")
    return checkpoint


def recursion_of(
    checkpoint: dict[str, Any], path: str | Path, map_location: str = "cpu", trust: Sequence[str] = ()
) -> Loaded:
    """Make the driver that a checkpoint describes; see `load_recursion`.

    Args:
        checkpoint: Its content.
        path: What it is called, for messages.
        map_location: Device of the driver.
        trust: Packages whose classes the checkpoint may name as well.
    """
    try:
        require_readable(checkpoint)
        settings = made_with(checkpoint)
        with reading(path):
            recursion = _made(checkpoint, settings, Trust(trust)).to(map_location).eval()
        require_same_backbone(checkpoint, recursion.backbone)
        _fill(recursion, checkpoint["state_dict"])
    except (CheckpointMismatch, UntrustedCode) as error:
        raise type(error)(f"{path}: {error}") from error
    evaluation = {name: settings[there] for there, name in EVALUATION.items() if there in settings}
    return Loaded(recursion, evaluation | {"adaptive": evaluation.get("adaptive") is not False})


def _made(checkpoint: dict[str, Any], settings: dict[str, Any], trust: Trust) -> Recursion:
    """Make a driver of those settings that are its own."""
    if (kind := made_by(checkpoint)) not in (None, OURS):  # which may make its driver of other settings
        raise CheckpointMismatch(
            f"it is of the class {kind}, which may make its driver of settings of its own: use "
            f"{str(kind).rpartition('.')[2]}.load_from_checkpoint(path).recursion.eval()"
        )
    known, types = inspect.signature(Recursion.__init__).parameters, hints(Recursion)
    sizes = {name: SETTINGS.get(name, name) for name in Sizes._fields}
    needed = [name for name, p in known.items() if p.default is p.empty and name not in ("self", "sizes")]
    needed += [there for name, there in sizes.items() if name not in Sizes._field_defaults]
    for name in (name for name in needed if name not in settings):
        why = unrecorded(checkpoint).get(name, f"it is of the class {made_by(checkpoint)}")
        raise CheckpointMismatch(
            f"it does not tell the model's {name} ({why}): make the Recursion in Python, and give it the "
            "weights by recurlight.warm_start"
        )
    given = {name: from_spec(settings[name], trust, types.get(name)) for name in known if name in settings}
    given["seed"] = given.get("seed") or 0
    given["frozen"] = frozen_parts(settings.get("optimizer_groups"))
    if rule := settings.get("eval_halting"):
        given["stopping"] = from_spec(rule, trust)
    if supervision := settings.get("supervision"):
        given["feedback"] = from_spec(supervision, trust).feedback()
    sized = {name: settings[there] for name, there in sizes.items() if there in settings}
    if grid := sized.get("grid"):
        sized["grid"] = tuple(grid)
    return Recursion(Sizes(**sized), **given)


def _fill(recursion: Recursion, weights: dict[str, Any]) -> None:
    """Load the weights of the driver, all of them."""
    own = {name.removeprefix(PREFIX): w for name, w in weights.items() if name.startswith(PREFIX)}
    try:
        recursion.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointMismatch(
            f"its weights are not those of the model that it describes: {reason}"
        ) from error
