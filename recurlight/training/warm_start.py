"""Weights alone, taken by name and shape: the start of a new run on other data or with other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from recurlight.checkpoints import files
from recurlight.checkpoints.backbones import other_backbone
from recurlight.checkpoints.contents import made_with, names_in, require_readable
from recurlight.checkpoints.hub import fetched
from recurlight.checkpoints.io import DurableCheckpointIO
from recurlight.checkpoints.weights import mismatches
from recurlight.codec.backbone import Backbone
from recurlight.codec.task_table import tables_of
from recurlight.errors import CheckpointError, CheckpointMismatch, UntrustedCode
from recurlight.optim.groups import matched, short
from recurlight.spec.given import checked
from recurlight.training.fingerprint import Weights, weights_of
from recurlight.training.module import RecursiveModule
from recurlight.types import Sized

__all__ = ["WarmStart", "take_weights", "warm_start"]

SHOWN = 3
UNASKED = "was not asked for"


class WarmStart(NamedTuple):
    """What a model took of a checkpoint's weights; as a text, the list that the command line prints.

    Attributes:
        taken: Numbers in each weight that was loaded, by name.
        means: Rows in the checkpoint of each table of tasks whose every row became their mean, by name.
        left_out: Why a weight keeps its initial value, or has no place here, by name.
        weights: Which of the run's weights they are.
        widened: Rows that were taken of each weight that has more here, by name.
        frozen: Whether the model's frozen weights were taken, each by its name.
        backbone: In which way the checkpoint stands on another frozen model; empty if it does not.

    Example:
        >>> print(WarmStart({"a.b": 4}, {}, {"c": "is unknown here"}, Weights("averaged", 7)))
        1 weight of 4 numbers taken, averaged, of step 7
          taken     a.b
          left out  c is unknown here
    """

    taken: dict[str, int]
    means: dict[str, int]
    left_out: dict[str, str]
    weights: Weights
    widened: Mapping[str, int] = {}
    frozen: Mapping[str, bool] = {}
    backbone: str = ""

    def __str__(self) -> str:
        count, numbers = len(self.taken), sum(self.taken.values())
        step = f", of step {self.weights.step:,}" if self.weights.step else ""
        kind = ", averaged" if self.weights.kind == "averaged" else ""
        lines = [f"{count} weight{'s'[: count > 1]} of {numbers:,} numbers taken{kind}{step}"]
        whole = (name for name in self.taken if name not in self.widened)
        lines += [f"  taken     {part}" for part in _parts(dict.fromkeys(whole, ""))]
        rows = {name: f"in its first {rows:,} rows" for name, rows in self.widened.items()}
        lines += [f"  taken     {part}" for part in _parts(rows)]
        lines += [f"  taken     {name}, as the mean of {rows:,} rows" for name, rows in self.means.items()]
        lines += [f"  left out  {part}" for part in _parts(self.left_out)]
        still = {name: "" if taken else "as it was drawn" for name, taken in self.frozen.items()}
        lines += [f"  frozen    {part}" for part in _parts(still)]
        lines += [f"  backbone  {self.backbone}"] * bool(self.backbone)
        return "\n".join(lines)


def _parts(weights: Mapping[str, str]) -> Iterator[str]:
    """Name weights that belong to one part of a model and have one reason together.

    Example:
        >>> list(_parts({"recursion.refiner.latent.a": "is new", "recursion.refiner.latent.b": "is new"}))
        ['refiner.latent (2 weights) is new']
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, reason in weights.items():
        name = name.removeprefix("recursion.")
        found.setdefault((".".join(name.split(".")[:2]), reason), []).append(name)
    for (part, reason), names in found.items():
        yield f"{names[0] if len(names) == 1 else f'{part} ({len(names)} weights)'} {reason}".rstrip()


@checked
def warm_start(
    model: nn.Module,
    checkpoint_path: str | Path,
    parts: list[str] | None = None,
    widen: list[str] | None = None,
) -> WarmStart:
    """Begin with the weights of a checkpoint, as far as names and shapes agree, and with nothing else of it.

    For other data, another batch size or another optimizer: what the checkpoint says of its run is not read,
    and training from here is a new run at step 0. To go on with a run use `fit(ckpt_path=...)`, and to use a
    model as it was trained `RecursiveModule.load_from_checkpoint`. Averaged weights are taken where there are
    any. No code is read from the file, and no class that it names is imported.

    A weight is taken whole or not at all: where the vocabulary differs the embedding and the read-out begin
    anew, where the number of tasks differs their table does, and where the length differs what a mixer or
    learned positions keep for each position. Those that `widen` names are taken even so, where they have more
    rows here, one for each token, task or position: the first rows, in their order, and the rest stays as it
    is. Name only what has the same meaning in the same row; positions of a grid of another width do not.
    A checkpoint that stands on another frozen model than this one is taken, and it is told.

    Args:
        model: Whose weights are replaced in place, such as a `RecursiveModule`.
        checkpoint_path: Path of a checkpoint of recurlight's, trained or imported.
        parts: What is taken, as `recurlight.optim.chosen` names it; None for all that fits.
        widen: What is taken though it has more rows here, named likewise.

    Returns:
        What was taken and what was left out; print it.

    Raises:
        IncompatibleComponents: The model is no module, the path no path, or a part names nothing.
        CheckpointError: The file is missing, damaged or no checkpoint.
        CheckpointMismatch: No matrix fits, one cannot be widened, or the file is of a newer version.
        UntrustedCode: It holds Python objects.

    Example:
        >>> from recurlight import CorrectnessHalting, LastCycles, MixerCell, RecursiveModule, TwoLevelRefiner
        >>> parts = TwoLevelRefiner(MixerCell(), latent_steps=2), LastCycles(1), CorrectnessHalting()
        >>> model = RecursiveModule(11, 81, *parts, width=32)
        >>> warm_start(model, "last.ckpt")
        Traceback (most recent call last):
        recurlight.errors.CheckpointError: last.ckpt: there is no such file; name the file of a checkpoint
    """
    checkpoint_path = fetched(checkpoint_path)
    if "://" not in str(checkpoint_path):
        files.require_file(checkpoint_path)
    checkpoint: Any = DurableCheckpointIO().load_checkpoint(checkpoint_path, weights_only=True)
    try:
        return take_weights(model, checkpoint, parts, widen)
    except (CheckpointError, CheckpointMismatch, UntrustedCode) as error:
        raise type(error)(f"{checkpoint_path}: {error}") from error


def take_weights(
    model: nn.Module,
    checkpoint: Any,
    parts: Sequence[str] | None = None,
    widen: Sequence[str] | None = None,
) -> WarmStart:
    """Do the same with a checkpoint that has been read; see `warm_start`."""
    theirs, ours = _weights_in(checkpoint), model.state_dict()
    asked = _asked(ours, parts, "weights_parts") if parts else {*ours, *theirs}
    growing = _asked(ours, widen, "weights_widen") & asked if widen else set()
    wide = _widened(ours, theirs, growing, _counts(model))
    means = {name: rows for name, rows in _means(model, theirs).items() if name in asked and name not in wide}
    left_out = mismatches(ours, theirs | {name: ours[name] for name in [*means, *wide]})
    left_out |= {name: UNASKED for name in ours if name not in asked}
    fitting = {name: value for name, value in (theirs | wide).items() if name not in left_out}
    if not any(value.ndim > 1 and name not in means for name, value in fitting.items()):
        shown = ", ".join(f"{name} {reason}" for name, reason in [*left_out.items()][:SHOWN])
        raise CheckpointMismatch(  # a bias of one number fits everywhere
            f"nothing of it fits the model by name and shape: {shown} and so on; give a checkpoint of the "
            "same cells and width"
        )
    model.load_state_dict(fitting, strict=False)
    taken = {name: value.numel() for name, value in fitting.items() if name not in means}
    taken |= {name: theirs[name].numel() for name in wide}
    if isinstance(model, RecursiveModule):
        model.names = _named(model, checkpoint, taken)
        model.note_origin(checkpoint)
    frozen = {name: name in taken for name, weight in model.named_parameters() if not weight.requires_grad}
    rows = {name: len(theirs[name]) for name in wide}
    backbone = next((part for part in model.modules() if isinstance(part, Backbone)), None)
    other = other_backbone(checkpoint, backbone)
    return WarmStart(taken, means, left_out, weights_of(checkpoint), rows, frozen, other)


def _weights_in(checkpoint: Any) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that can be read."""
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise CheckpointError(
            "no checkpoint of recurlight, it has no 'state_dict': a published file is imported first, "
            "recurlight import FILE --from trm"
        )
    require_readable(checkpoint)
    return {name: value for name, value in checkpoint["state_dict"].items() if isinstance(value, Tensor)}


def _asked(ours: Mapping[str, Tensor], parts: Sequence[str], setting: str) -> set[str]:
    """Return the names in a state dict that parts mean."""
    names = {short(name): name for name in ours}
    return {names[name] for name in matched([*names], parts, setting)}


def _counts(model: nn.Module) -> set[int]:
    """Return of how many tokens, tasks and positions a model is, as far as its parts tell."""
    sizes = [part.sizes for part in model.modules() if isinstance(part, Sized) and part.sizes is not None]
    return {count for one in sizes for count in (one.vocab, one.tasks, one.tokens, one.positions)}


def _widened(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], names: set[str], counts: set[int]
) -> dict[str, Tensor]:
    """Return weights of our shape whose first rows are theirs, where those are fewer.

    Raises:
        CheckpointMismatch: They differ in something else, rows would be lost, or they are of no such count.
    """
    found = {}
    for name in (name for name in ours if name in names and name in theirs):
        new, old = ours[name], theirs[name]
        if new.shape == old.shape:
            continue
        if new.shape[1:] != old.shape[1:] or len(new) < len(old) or len(new) not in counts:
            raise CheckpointMismatch(
                f"{short(name)} is {tuple(old.shape)} there and {tuple(new.shape)} here, and only rows can "
                f'be added, for more tokens, tasks or positions: take "!{short(name)}" into weights_widen'
            )
        found[name] = new.clone()
        found[name][: len(old)] = old
    return found


def _named(model: RecursiveModule, checkpoint: Mapping[str, Any], taken: Mapping[str, int]) -> dict[str, str]:
    """Return the hashes of what the numbers stand for of which the encoder has learnt, see `naming`."""
    if not any(name.startswith("recursion.encoder.") for name in taken):
        return {}
    there, sizes = made_with(checkpoint), model.recursion.sizes
    same = {
        "symbols": there.get("vocab_size") == sizes.vocab,
        "tasks": there.get("num_tasks") == sizes.tasks,
    }
    return {kind: digest for kind, digest in names_in(checkpoint).items() if same.get(kind)}


def _means(model: nn.Module, theirs: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the tables that load another number of rows as their mean, with that number."""
    found = {f"{name}.rows": table for name, table in tables_of(model).items()}
    return {
        key: len(theirs[key])
        for key, table in found.items()
        if key in theirs and theirs[key].shape != table.rows.shape and table.fits(theirs[key])
    }
