"""Checkpoints of the Hugging Face hub, `hf://OWNER/NAME/FILE.ckpt`; needs the extra `hub`."""

from __future__ import annotations

import importlib
from typing import Any

from recurlight.errors import CheckpointError

__all__ = ["fetched"]

SCHEME = "hf://"


def fetched(path: Any) -> Any:
    """Download what an address of the hub names, and return its place here; any other path as it is.

    The newest file is meant, which is downloaded again when it changes there; name a revision to have the
    same one for ever.

    The file is then read as any other: nothing in it is run, and it names classes that it may name.

    Args:
        path: Such as `hf://owner/name/last.ckpt`, or `hf://owner/name@revision/last.ckpt`.

    Raises:
        CheckpointError: The address is incomplete, the extra is not installed, or the hub has no such file.

    Example:
        >>> fetched("last.ckpt")
        'last.ckpt'
    """
    if not str(path).startswith(SCHEME):
        return path
    owner, _, rest = str(path).removeprefix(SCHEME).partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    if not (owner and name and file):
        raise CheckpointError(f"{path} is no file of the hub: give hf://OWNER/NAME/FILE.ckpt")
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise CheckpointError(f"{path} is on the hub: pip install 'recurlight[hub]'") from None
    try:
        return str(hub.hf_hub_download(f"{owner}/{name}", file, revision=revision or None))
    except Exception as error:  # of the network, of the hub, or for want of a login
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{path} could not be fetched: {reason}") from error
