"""Which frozen model a checkpoint stands on; its weights are in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recurlight.checkpoints.contents import backbone_in
from recurlight.codec.backbone import Backbone
from recurlight.errors import CheckpointMismatch

__all__ = ["identity_of", "require_same_backbone"]


def identity_of(backbone: Backbone | None) -> dict[str, str]:
    """Return what a checkpoint says of a backbone, nothing where there is none; see `Backbone.identity`."""
    return {} if backbone is None else backbone.identity()


def require_same_backbone(checkpoint: Mapping[str, Any], backbone: Backbone | None) -> None:
    """Refuse weights that were trained on another frozen model.

    Args:
        checkpoint: The whole checkpoint.
        backbone: That of the model; None if it has none.

    Raises:
        CheckpointMismatch: Naming both files.
    """
    here, there = identity_of(backbone), backbone_in(checkpoint)
    if there.get("sha256") != here.get("sha256"):
        theirs, ours = (_file(identity) for identity in (there, here))
        raise CheckpointMismatch(
            f"the checkpoint stands on the backbone {theirs} and this model on {ours}: put back the file "
            "that it was trained on, or name its place in model.backbone"
        )


def _file(identity: Mapping[str, str]) -> str:
    return f"{identity['path']} ({identity['sha256'][:8]})" if identity else "none"
