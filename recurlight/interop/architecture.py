"""Shapes, flags and `all_config.yaml` put together."""

from __future__ import annotations

from collections.abc import Mapping

from recurlight.interop.hyper_parameters import Architecture
from recurlight.interop.layout import Shapes
from recurlight.interop.reading import PublishedFile
from recurlight.interop.settings import Resolver, SettingError
from recurlight.interop.training_data import DataSizes, known_tokens

__all__ = ["resolve"]

TASKS = ("keep", "mean", "zero")


def resolve(
    family: str,
    shapes: Shapes,
    resolver: Resolver,
    file: PublishedFile,
    sizes: DataSizes | None,
    tasks: str,
) -> Architecture:
    """Decide everything that the forward pass depends on.

    Raises:
        SettingError: A value is missing, or two sources contradict each other.
    """
    _check_facts(family, shapes, resolver, file.path)
    resolver.note("width", shapes.width, "shapes")
    resolver.require(_required(family, shapes, resolver, sizes), file.path)
    vocab = {"shapes": shapes.vocab, "data": sizes and sizes.vocab_size}
    prefix = _prefix(family, shapes, resolver, sizes)
    return Architecture(
        family=family,
        vocab=_settle(
            resolver,
            "vocab_size",
            vocab,
            "give data with the tokens of training, with --data, or --data none",
        ),
        tokens=_tokens(shapes, prefix, resolver, file, sizes),
        width=shapes.width,
        prefix=prefix,
        tasks=_task_rows(shapes, resolver, sizes, tasks),
        task_width=shapes.task_width,
        learned=shapes.learned,
        levels=shapes.levels,
        heads=_heads(shapes, resolver),
        rotary_base=_rotary_base(shapes, resolver),
        expansion=resolver.note("expansion", shapes.expansion, "shapes"),
        cycles=resolver.get("cycles"),
        latent_steps=resolver.get("latent_steps"),
        max_segments=resolver.get("max_segments", 16),
        exploration=resolver.get("exploration", 0.1),
        loss=resolver.get("loss", "StablemaxCrossEntropy"),
        halting=_halting(family, resolver),
    )


def _halting(family: str, resolver: Resolver) -> str:
    """Return the policy; with one segment the published code trains the halt score alone, whatever is set."""
    policy = str(resolver.get("halting", "CorrectnessHalting" if family == "trm" else "QLearningHalting"))
    if policy == "QLearningHalting" and resolver.get("max_segments", 16) == 1:
        return str(resolver.note("halting", "CorrectnessHalting", "published rule of one segment"))
    return policy


def _required(family: str, shapes: Shapes, resolver: Resolver, sizes: DataSizes | None) -> list[str]:
    """Name the settings on which the result depends and for which the weights give no hint."""
    counted = shapes.positions and (resolver.whole_flag("seq_len") or sizes)
    needed = {
        "cycles": True,
        "latent_steps": True,
        "heads": shapes.attention,
        "positions": shapes.attention and not shapes.learned,
        "prefix": family == "trm" and shapes.tasks and not resolver.arch and not counted,
    }
    return [name for name, flag in needed.items() if flag]


def _check_facts(family: str, shapes: Shapes, resolver: Resolver, path: str) -> None:
    """Hold the configuration to what the shapes say."""
    facts = {
        "hidden_size": shapes.width,
        "L_layers": shapes.levels["L_level"].blocks,
        "puzzle_emb_ndim": shapes.task_width,
        "mlp_t": shapes.levels["L_level"].mixer,
    }
    if family == "hrm":
        facts["H_layers"] = shapes.levels["H_level"].blocks
    resolver.check_facts(facts, path)


def _settle(resolver: Resolver, name: str, found: Mapping[str, int | None], fix: str) -> int:
    """Return the value on which all sources agree; at least one of them knows it."""
    known = [(value, origin) for origin, value in found.items() if value is not None]
    value, origin = known[0]
    for other, source in known[1:]:
        if other != value:
            raise SettingError(f"{name} is {value} by the {origin} and {other} by the {source}: {fix}")
    return int(resolver.note(name, value, origin))


def _prefix(family: str, shapes: Shapes, resolver: Resolver, sizes: DataSizes | None) -> int:
    """Return the task-prefix positions: set, or counted, or by the rule of the family."""
    if not shapes.tasks:
        return int(resolver.note("prefix", 0, "shapes"))
    least = -(-shapes.task_width // shapes.width)
    given = resolver.get("prefix", 0)
    tokens = resolver.whole_flag("seq_len") or (sizes and sizes.seq_len)
    if not given and not resolver.arch and shapes.positions and tokens:
        given = resolver.note("prefix", shapes.positions - tokens, "shapes")
    elif not given:
        # TRM's code has 16 unless told; told 0, and in HRM, it has as many as the vector needs
        fixed = family == "trm" and not resolver.known("prefix")
        given = resolver.note("prefix", 16 if fixed else least, "published default")
    most = shapes.positions - 1 if shapes.positions else given
    if not least <= given <= most:
        raise SettingError(
            f"a prefix of {given} positions does not fit tasks' vectors of {shapes.task_width} in width "
            f"{shapes.width}, or leaves no tokens: give a --prefix from {least}, or data of other lengths"
        )
    return int(given)


def _tokens(
    shapes: Shapes, prefix: int, resolver: Resolver, file: PublishedFile, sizes: DataSizes | None
) -> int:
    """Return the tokens of a sample, which only mixers and learned positions tell."""
    found = {
        "flag": resolver.whole_flag("seq_len"),
        "shapes": None if shapes.positions is None else shapes.positions - prefix,
        "data": sizes and sizes.seq_len,
    }
    if not any(found.values()):
        found["data_paths"] = known_tokens(file.config)
    if not any(found.values()):
        raise SettingError(
            f"{file.path}: neither weights nor all_config.yaml tell the number of tokens: give --seq_len, or "
            "the data with --data RECIPE"
        )
    return _settle(resolver, "seq_len", found, "let --prefix, --seq_len and --data agree")


def _task_rows(shapes: Shapes, resolver: Resolver, sizes: DataSizes | None, tasks: str) -> int:
    """Return the rows of the table of tasks."""
    if tasks not in TASKS:
        raise SettingError(f"--tasks {tasks} is no choice: give {', '.join(TASKS)}")
    wanted = {"flag": resolver.whole_flag("num_tasks"), "data": sizes and sizes.num_tasks}
    if not shapes.tasks or tasks != "keep":
        wanted["shapes"] = None if any(wanted.values()) else max(shapes.tasks, 1)
        return _settle(resolver, "num_tasks", wanted, "let --num_tasks and --data agree")
    fix = "add --tasks mean, so that every task starts at the mean of the file's, or --tasks zero"
    return _settle(resolver, "num_tasks", {"shapes": shapes.tasks, **wanted}, fix)


def _heads(shapes: Shapes, resolver: Resolver) -> int:
    """Return the number of attention heads, 1 where nothing attends."""
    if not shapes.attention:
        return 1
    heads = int(resolver.get("heads"))
    if shapes.width % (2 * heads):
        raise SettingError(
            f"{heads} heads do not divide width {shapes.width} into even parts: give --heads a divisor of "
            f"{shapes.width // 2}"
        )
    return heads


def _rotary_base(shapes: Shapes, resolver: Resolver) -> float | None:
    """Return the base of the rotary frequencies, None for other positions or none."""
    word = resolver.get("positions", "learned" if shapes.learned else "none", "shapes")
    if (word == "learned") != shapes.learned:
        has = "has" if shapes.learned else "has no"
        raise SettingError(
            f"positions are {word}, and the file {has} model.inner.embed_pos.embedding_weight: "
            f"give --positions {'learned' if shapes.learned else 'rope or none'}, or its own all_config.yaml"
        )
    if word != "rope" or not shapes.attention:
        return None
    return float(resolver.get("rotary_base", 10000.0))
