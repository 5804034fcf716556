"""Which frozen model a checkpoint stands on; its weights are in a file of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from recurlight.checkpoints.contents import backbone_in
from recurlight.codec.backbone import Backbone
from recurlight.errors import CheckpointMismatch

__all__ = ["identity_of", "other_backbone", "require_same_backbone"]


def identity_of(backbone: Backbone | None) -> dict[str, str]:
    """Return what a checkpoint says of a backbone, nothing where there is none.

    It is `Backbone.identity`, and under `symbols` the hash of its own numbers of the data's tokens, empty
    where both count alike.
    """
    if backbone is None:
        return {}
    ids = "" if backbone.ids is None else " ".join(map(str, backbone.ids.tolist()))
    return backbone.identity() | {"symbols": hashlib.sha256(ids.encode()).hexdigest() if ids else ""}


def other_backbone(checkpoint: Mapping[str, Any], backbone: Backbone | None) -> str:
    """Say in which way a checkpoint stands on another frozen model; nothing where it is the same one.

    What an older checkpoint does not tell of its backbone is not compared.

    Args:
        checkpoint: The whole checkpoint.
        backbone: That of the model; None if it has none.
    """
    here, there = identity_of(backbone), backbone_in(checkpoint)
    theirs, ours = (_file(identity) for identity in (there, here))
    if there.get("sha256") != here.get("sha256"):
        return f"the checkpoint stands on the backbone {theirs} and this model on {ours}"
    shared = sorted((there.keys() & here.keys()) - {"path"})
    differing = [name for name in shared if there[name] != here[name]]
    if not differing:
        return ""
    told = " and ".join(differing)
    return f"the checkpoint stands on the backbone {theirs} with other {told} than this model"


def require_same_backbone(checkpoint: Mapping[str, Any], backbone: Backbone | None) -> None:
    """Refuse weights that were trained on another frozen model.

    Args:
        checkpoint: The whole checkpoint.
        backbone: That of the model; None if it has none.

    Raises:
        CheckpointMismatch: Naming both files, or what differs beside them.
    """
    if other := other_backbone(checkpoint, backbone):
        raise CheckpointMismatch(
            f"{other}: put back the files and settings that it was trained with, or name their place in "
            "model.backbone"
        )


def _file(identity: Mapping[str, str]) -> str:
    return f"{identity['path']} ({identity['sha256'][:8]})" if identity else "none"
