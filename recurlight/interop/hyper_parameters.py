"""The settings of `RecursiveModule` for a published architecture, as the command line saves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from recurlight.interop.layout import Level

__all__ = ["Architecture", "hyper_parameters"]


class Architecture(NamedTuple):
    """All that a published forward pass depends on."""

    family: str
    vocab: int
    tokens: int
    width: int
    prefix: int
    tasks: int
    task_width: int
    """Numbers in a task's vector; 0 where tasks have none."""
    learned: bool
    """Whether there is a vector for each position."""
    levels: Mapping[str, Level]
    """By published name."""
    heads: int
    rotary_base: float | None
    expansion: float
    cycles: int
    latent_steps: int
    max_segments: int
    exploration: float
    loss: str
    halting: str


def hyper_parameters(model: Architecture, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, classes as `class_path` and `init_args`.

    Args:
        model: What is computed.
        training: Content of `all_config.yaml`, for the optimizer; may be empty.
    """
    answer = _cell(model, "H_level") if "H_level" in model.levels else None
    cells = {"latent": _cell(model, "L_level"), "answer": answer}
    truncation = _made("LastCycles", count=1) if model.family == "trm" else _made("LastUpdates", count=2)
    return {
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
        "vocab_size": model.vocab,
        "seq_len": model.tokens,
        "num_tasks": model.tasks,
        "refiner": _made("TwoLevelRefiner", **cells, latent_steps=model.latent_steps),
        "truncation": truncation,
        "halting": _made(model.halting),
        "encoder": _encoder(model),
        "loss": _made(model.loss),
        "width": model.width,
        "prefix": model.prefix,
        "cycles": model.cycles,
        "max_segments": model.max_segments,
        "exploration": model.exploration,
        "halting_weight": 0.5,
        **_optimizer(training),
    }


def _made(name: str, **arguments: Any) -> dict[str, Any]:
    """Write an object of recurlight as a configuration does."""
    made: dict[str, Any] = {"class_path": f"recurlight.{name}"}
    return {**made, "init_args": arguments} if arguments else made


def _cell(model: Architecture, level: str) -> dict[str, Any]:
    blocks, mixer = model.levels[level]
    common = {"layers": blocks, "expansion": model.expansion, "multiple": 256}
    if mixer:
        return _made("MixerCell", **common)
    return _made("TransformerCell", **common, heads=model.heads, rotary_base=model.rotary_base)


def _encoder(model: Architecture) -> dict[str, Any]:
    task_width = model.task_width if model.task_width not in (0, model.width) else None
    return _made("TokenEncoder", learned_positions=model.learned, task_width=task_width)


def _optimizer(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return optimizer and schedule where the configuration has all of their settings."""
    keys = ("lr", "beta1", "beta2", "weight_decay", "lr_warmup_steps")
    try:
        lr, beta1, beta2, decay, warmup = (float(training[key]) for key in keys)
    except (KeyError, TypeError, ValueError):
        return {}
    return {
        "optimizer": _made("AdamATan2", lr=lr, betas=[beta1, beta2], weight_decay=decay),
        "scheduler": _made("LinearWarmup", warmup=int(warmup)),
    }
