"""A causal model of recurlight as the frozen one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurlight.checkpoints.files import digest
from recurlight.checkpoints.hub import fetched
from recurlight.checkpoints.nearby import asked_by, located
from recurlight.codec.backbone import Backbone
from recurlight.codec.tokens import TokenDecoder
from recurlight.errors import CheckpointError, IncompatibleComponents
from recurlight.recursion import Recursion, load_recursion
from recurlight.recursion.causality import require_causal
from recurlight.recursion.generation import piece_told

__all__ = ["TrainedBackbone"]


class TrainedBackbone(Backbone):
    """A causal model that recurlight has trained, up to its answer before the read-out.

    It runs as it was evaluated: its refiner, its cycles, all of its segments.

    Args:
        checkpoint: File of a model of tokens, with a `TokenDecoder` and without a prefix. A checkpoint that
            stands on it holds this path; a relative one is looked for in the current folder, and then in
            the folders around that checkpoint.
        symbols: Its own number of each of the data's tokens; None where both count alike.

    Raises:
        CheckpointError: There is no such file, or it is damaged.
        IncompatibleComponents: The model is of another kind.

    Example:
        >>> TrainedBackbone("runs/backbone_s3/version_0/checkpoints/last.ckpt")
        Traceback (most recent call last):
        recurlight.errors.CheckpointError: runs/...: there is no such file; `recurlight fit --config
        backbone_s3` writes it, or name its place, or another causal model, in model.backbone.checkpoint
    """

    network: Recursion

    def __init__(self, checkpoint: str, symbols: list[int] | None = None) -> None:
        super().__init__(symbols)
        self.path = located(fetched(checkpoint))
        if not self.path.is_file():
            raise CheckpointError(f"{checkpoint}: there is no such file; {_advice(self.path)}")
        loaded = load_recursion(self.path)
        self.sha256, sizes = digest(self.path), loaded.recursion.sizes
        self.segments = loaded.evaluation.get("max_segments") or loaded.recursion.max_segments
        self.cycles = loaded.evaluation.get("cycles") or loaded.recursion.cycles
        _require_plain(loaded.recursion, checkpoint)
        self.width, self.positions = sizes.width, sizes.tokens
        self.hold(loaded.recursion)

    def vectors(self, tokens: Tensor) -> Tensor:
        """Encode its own tokens, `(B, n)` int64, into `(B, n, W)`."""
        with self._reading(tokens.shape[1]):
            vectors: Tensor = self.network.encoder(tokens, torch.zeros_like(tokens[:, 0]))
        return vectors

    def hidden(self, embedded: Tensor) -> Tensor:
        """Refine from the first state, with `(B, n, W)` as the injection, to the answer `(B, n, W)`."""
        model = self.network
        with self._reading(embedded.shape[1]):
            state = model.refiner.initial_state(embedded)
            for _ in range(self.segments):
                state = model.truncation.run(model.refiner, state, embedded, self.cycles)
        answer: Tensor = state.answer
        return answer

    def _reading(self, count: int) -> AbstractContextManager[None]:
        """Let it take sequences of any length up to its own."""
        return nullcontext() if count == self.positions else piece_told(self.network, 0, count)

    def head(self) -> Tensor:
        """Return the weights of its `TokenDecoder`."""
        decoder: Any = self.network.decoder  # a `TokenDecoder`, which makes its head when it is built
        weight: Tensor = decoder.head.weight
        return weight

    def identity(self) -> dict[str, str]:
        """Return the place and the hash of the checkpoint."""
        return {"path": str(self.path), "sha256": self.sha256}


def _advice(path: Path) -> str:
    """Say where a checkpoint looks for it; else how it is made, if its path is that of a run."""
    if above := asked_by():
        around = "" if path.is_absolute() else f" under this path, here or in a folder around {above.name},"
        return f"put back the file{around} or name its place in model.backbone.checkpoint"
    *_, name, _, folder, _ = ("", "", "", *path.parts)
    made = f"`recurlight fit --config {name}` writes it, or " if folder == "checkpoints" and name else ""
    return f"{made}name its place, or another causal model, in model.backbone.checkpoint"


def _require_plain(model: Recursion, checkpoint: str) -> None:
    """Refuse a model whose answer cannot be taken for hidden states with a head."""
    reasons = {
        "its answers are not read out by a TokenDecoder": type(model.decoder) is not TokenDecoder,
        "it reads numbers": bool(model.sizes.features),
        "it has a task prefix": bool(model.sizes.prefix),
        "it is told guesses at the answer": model.feedback is not None,
    }
    for reason, found in reasons.items():
        if found:
            raise IncompatibleComponents(
                f"TrainedBackbone: {checkpoint} is no plain model of tokens, {reason}: give another"
            )
    try:  # whole: cells that are made for a number of positions cannot read a part
        require_causal(model)
    except IncompatibleComponents:
        raise IncompatibleComponents(
            f"TrainedBackbone: {checkpoint} is no causal model, a hidden state depends on what comes after "
            "it: give one of cells such as CausalTransformerCell"
        ) from None
