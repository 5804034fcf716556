"""`recurlight import FILE --from trm|hrm`: a published file becomes a checkpoint of recurlight."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recurlight.cli.commands.parsing import CommandError, CommandParser
from recurlight.cli.recipes import config_path, recipes_dir
from recurlight.interop.settings import FAMILIES, SETTINGS
from recurlight.places import free_place

__all__ = ["run"]


def _parser() -> CommandParser:
    parser = CommandParser(
        "import",
        "FILE --from trm|hrm [--output FILE.ckpt] [options]",
        "Turn a published checkpoint of TRM or HRM into one of recurlight.",
        "step_65000 --from trm --output trm.ckpt",
    )
    parser.add_argument("file", metavar="FILE", help="what torch.save wrote of the model's state dict")
    parser.add_argument("--from", dest="family", required=True, choices=FAMILIES, help="which model it is")
    parser.add_argument("--output", metavar="FILE.ckpt", help="FILE's name with .ckpt, here, by default")
    parser.add_argument("--config", metavar="YAML", help="its all_config.yaml; the one beside it by default")
    parser.add_argument("--data", metavar="RECIPE", help="recipe or file whose data section to keep, or none")
    parser.add_argument("--weights", choices=("plain", "averaged"), help="for files that hold both")
    parser.add_argument("--tasks", choices=("keep", "mean", "zero"), default="keep", help="table of tasks")
    parser.add_argument("--num_tasks", metavar="N", help="tasks, where they are to be others than the file's")
    parser.add_argument("--seq_len", metavar="N", help="tokens of a sample, where nothing else tells")
    group = parser.add_argument_group("settings, instead of those of all_config.yaml")
    for name, setting in SETTINGS.items():
        group.add_argument(f"--{name}", metavar="VALUE", help=setting.text)
    return parser


def _data(given: str | None, config: dict[str, Any]) -> dict[str, Any] | None:
    """Return the data section of a recipe or file, or the one for the data of training; None for none."""
    from recurlight.cli.config import read
    from recurlight.cli.merge import as_spec
    from recurlight.interop.training_data import known_data

    if given is None:
        return known_data(config)
    if given == "none":
        return None
    data = read(config_path(given, recipes_dir(), flag="--data")).get("data")
    spec = as_spec(data) if isinstance(data, (str, dict)) else {}
    if not isinstance(spec.get("class_path"), str):
        raise CommandError(f"--data {given} has no data section with a class_path: name another recipe")
    path = spec["class_path"] if "." in spec["class_path"] else f"recurlight.{spec['class_path']}"
    return {"class_path": path, "init_args": spec.get("init_args") or {}}


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight import ...`.

    Raises:
        RecurlightError: The command line or the file is wrong.
    """
    settings = vars(_parser().parse_all(arguments))
    file, family, output, config, data, weights = (
        settings.pop(key) for key in ("file", "family", "output", "config", "data", "weights")
    )
    target = Path(output or f"{Path(file).stem}.ckpt")
    free_place(target, "name another file with --output", CommandError)
    from recurlight.checkpoints import files
    from recurlight.checkpoints.contents import data_settings
    from recurlight.interop.published import convert
    from recurlight.interop.reading import read_published
    from recurlight.interop.training_data import data_sizes

    published = read_published(file, config, weights)
    spec = _data(data, published.config)
    sizes = data_sizes(spec) if spec else None
    made = convert(published, family, sizes=sizes, **settings)
    files.write(made.checkpoint | (data_settings(spec) if spec else {}), target)
    _tell(made.settings, published.left_out, spec, target)


def _tell(
    settings: dict[str, tuple[Any, str]], left_out: list[str], data: dict[str, Any] | None, target: Path
) -> None:
    """Print what was decided and why, and what to do next."""
    width = max(len(name) for name in settings)
    lines = [f"{name:{width}}  {value!s:24}  {origin}" for name, (value, origin) in sorted(settings.items())]
    lines += [f"left out: {', '.join(left_out)}"] if left_out else []
    lines += [f"data: {data['class_path']}" if data else "data: none, give --data RECIPE to keep a section"]
    test = f"recurlight test --ckpt_path {target}{'' if data else ' --data CLASS'}"
    lines += [f"checkpoint: {target}", f"test it:    {test}"]
    sys.stdout.write("\n".join([*lines, ""]))
