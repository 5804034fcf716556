"""Makes the recipes page from the recipes' own headers, so that it cannot fall behind them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

INTRODUCTION = """---
hide: [toc]
---

# Recipes

A recipe is one complete YAML file that makes one claim. Run one by its name, change any setting by a flag,
or copy it and edit it; later `--config` files win over earlier ones, and flags win over all of them:

```bash
recurlight recipes list
recurlight fit --config trm_sudoku --config small
recurlight recipes copy trm_sudoku mine.yaml
```

*Measured* was seen in a run of this library, by the command in the recipe's part below. *Published* is what
the paper's authors or others report of their own code, and says nothing about a run of ours. A recipe that
begins with `small` is laid over others, which it makes short.
"""

TASKS = ("Sudoku", "Mazes", "ARC", "Sequences", "Text", "Fields")
COLUMNS = ("recipe", "what it shows", "measured here", "published", "command")


def header(text: str) -> dict[str, str]:
    """Return a recipe's leading comment by field; the first line, `# name: what it is`, has the key `title`.

    >>> header("# tiny: the smallest\\n#\\n# Paper:    none\\n#           at all\\nmodel: {}\\n")
    {'title': 'the smallest', 'Paper': 'none at all'}
    """
    first, *rest = re.match(r"(?:#.*\n)*", text)[0].splitlines() or [""]
    fields, name = {"title": first.partition(":")[2].strip()}, "title"
    for line in rest:
        if found := re.fullmatch(r"# ([A-Z]\w*):\s+(.+)", line):
            name = found[1]
            fields[name] = found[2].strip()
        elif more := line.lstrip("# ").strip():
            fields[name] = f"{fields[name]} {more}"
    return fields


def fit(command: str) -> str:
    """Return the part of a recipe's command that trains; what installs before or tests after it is left out.

    >>> fit("pip install x; recurlight fit --config tiny; recurlight test")
    'recurlight fit --config tiny'
    """
    return next(part for part in command.split("; ") if part.startswith("recurlight fit"))


def row(name: str, fields: dict[str, str]) -> str:
    """Return a recipe's row of the table."""
    figures = f"{fields['Measured']} | {fields['Published']} | `{fit(fields['Command'])}`"
    return f"| [{name}](#{name}) | {fields['title']} | {figures} |"


def table(recipes: dict[str, dict[str, str]]) -> str:
    """Return one table of all recipes, by task, those that are laid over others last.

    Args:
        recipes: The header of each recipe, by its name.

    Raises:
        ValueError: A recipe names no task of `TASKS`.
    """
    if strange := [name for name, fields in recipes.items() if fields.get("Task") not in TASKS]:
        raise ValueError(f"{strange[0]}: write '# Task:' and one of {', '.join(TASKS)} into its header")
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    for task in TASKS:
        lines.append(f"| **{task}** " + "| " * (len(COLUMNS) - 1) + "|")
        names = sorted(name for name in recipes if recipes[name]["Task"] == task)
        names.sort(key=lambda name: name.startswith("small"))
        lines += [row(name, recipes[name]) for name in names]
    return "\n".join([*lines, ""])


def section(name: str, text: str) -> str:
    """Return a recipe's part of the page: its header as a list, its command, and the file to unfold."""
    fields = header(text)
    command = fields.pop("Command", f"recurlight fit --config {name}")
    if measuring := fields.pop("By", ""):
        fields["Measured"] += f", by `{measuring}`"
    lines = [f"## {name}", "", f"{fields.pop('title')}.", ""]
    lines += [f"- **{key}:** {value}" for key, value in fields.items()]
    lines += ["", "```bash", *command.split("; "), "```", "", f'??? note "{name}.yaml"', "    ```yaml"]
    return "\n".join([*lines, *(f"    {line}".rstrip() for line in text.splitlines()), "    ```", ""])


def recipes_page(folder: Path) -> str:
    """Return the page for all recipes of a folder."""
    paths = sorted(folder.rglob("*.yaml"))
    texts = {path.relative_to(folder).with_suffix("").as_posix(): path.read_text("utf-8") for path in paths}
    headers = {name: header(text) for name, text in texts.items()}
    return "\n".join([INTRODUCTION, table(headers), *(section(*named) for named in texts.items())])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the site."""
    from mkdocs.structure.files import File

    folder = Path(config.config_file_path).parent / "recipes"
    files.append(File.generated(config, "recipes.md", content=recipes_page(folder)))
    return files
