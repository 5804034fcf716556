"""Where the files of a published language model are, and what they hash to."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from recurlight.checkpoints.files import digest
from recurlight.checkpoints.nearby import located
from recurlight.errors import CheckpointError

__all__ = ["config_hash", "hash_of", "library", "model_folder", "weight_files"]

_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_MUTE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache")
"""What a config says of files and versions, and nothing of what a model computes in float32."""


def library(name: str) -> Any:
    """Import what a backbone is read with.

    Raises:
        CheckpointError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        install = "'recurlight[lm]'" if name == "transformers" else name
        raise CheckpointError(f"PretrainedBackbone needs {name}: pip install {install}") from None


def model_folder(path: str, gguf_file: str | None) -> Path:
    """Return the folder of a model, fetched from the hub where the path is none of this machine.

    Args:
        path: A folder, or `OWNER/NAME` on the hub, or `OWNER/NAME@REVISION`. A relative folder is looked for
            as `located` says.
        gguf_file: The only file that is wanted; None for a folder in the form of `transformers`.

    Raises:
        CheckpointError: There is neither, or `transformers` is missing.
    """
    folder, place = located(Path(path) / (gguf_file or "config.json")).parent, Path(path)
    if folder.is_dir():
        return folder
    if place.is_file():
        also = f" and gguf_file to {place.name}" * (place.suffix == ".gguf")
        raise CheckpointError(f"{path} is a file: set model.backbone.path to its folder {place.parent}{also}")
    if not _ON_HUB.fullmatch(path):
        raise CheckpointError(
            f"{path}: there is no such folder; name that of a model, or OWNER/NAME of the hub"
        )
    name, _, revision = path.partition("@")
    wanted = [gguf_file] if gguf_file else ["*.json", "*.safetensors", "*.model", "*.txt"]
    library("transformers")  # which brings the hub, and without which nothing is worth fetching
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except Exception as error:  # of the network, of the hub, or for want of a login
        raise CheckpointError(
            f"{path} is no folder here, and could not be fetched from the hub ({type(error).__name__}): "
            "name the folder of a model, or try again"
        ) from error


def weight_files(folder: Path, gguf_file: str | None) -> list[Path]:
    """Return the files of a folder that `transformers` reads weights from.

    Args:
        folder: As `save_pretrained` writes it, or with a GGUF file.
        gguf_file: Name of the latter.

    Raises:
        CheckpointError: There are none.
    """
    if gguf_file is not None:
        if not (folder / gguf_file).is_file():
            there = ", ".join(sorted(file.name for file in folder.glob("*.gguf"))) or "none"
            raise CheckpointError(f"{folder} has no file {gguf_file}: set gguf_file to one of {there}")
        return [folder / gguf_file]
    if (folder / "adapter_config.json").is_file():  # with peft, transformers reads another model beside it
        raise CheckpointError(
            f"{folder} holds an adapter: merge it into its model, model.merge_and_unload().save_pretrained("
            "FOLDER), and name that folder"
        )
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}.index.json").is_file():
            named = json.loads(index.read_text("utf-8"))["weight_map"].values()
            return [_there(folder / file) for file in sorted({*named})]
    gguf = next((f"; for its {file.name} set gguf_file" for file in sorted(folder.glob("*.gguf"))), "")
    raise CheckpointError(
        f"{folder} has no weights: name a folder with {' or '.join(_WEIGHTS)}, as save_pretrained "
        f"writes it{gguf}"
    )


def _there(file: Path) -> Path:
    if not file.is_file():
        raise CheckpointError(f"{file}: a part of the weights is missing; fetch the model again")
    return file


def hash_of(files: list[Path]) -> str:
    """Hash files: one by its content, several by their hashes in that order.

    Example:
        >>> hash_of([Path(__file__)]) == digest(__file__)
        True
    """
    found = [digest(file) for file in files]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def config_hash(folder: Path) -> str:
    """Hash what the config of a folder says of what the model computes, such as its base of rotary positions.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> told = [
        ...     (folder / "config.json").write_text(text) and config_hash(folder)
        ...     for text in ('{"a": 1, "use_cache": true}', '{"a": 1}', '{"a": 2}')
        ... ]
        >>> told[0] == told[1], told[1] == told[2]
        (True, False)
    """
    told = json.loads((folder / "config.json").read_text("utf-8"))
    kept = {name: value for name, value in told.items() if name not in _MUTE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
