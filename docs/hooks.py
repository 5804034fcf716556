"""Makes the recipes page from the recipes' own headers, so that it cannot fall behind them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

INTRODUCTION = """# Recipes

A recipe is one complete YAML file that makes one claim: what it is, where the figure comes from, what to
expect, on which hardware, with which command. Run one by its name, change any setting by a flag, or copy it
and edit it:

```bash
recurlight recipes list
recurlight fit --config trm_sudoku --config small
recurlight recipes copy trm_sudoku mine.yaml
```

Later `--config` files win over earlier ones, and flags win over all of them.
"""


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


def section(name: str, text: str) -> str:
    """Return a recipe's part of the page: its header as a list, its command, and the file to unfold."""
    fields = header(text)
    command = fields.pop("Command", f"recurlight fit --config {name}")
    lines = [f"## {name}", "", f"{fields.pop('title')}.", ""]
    lines += [f"- **{key}:** {value}" for key, value in fields.items()]
    lines += ["", "```bash", *command.split("; "), "```", "", f'??? note "{name}.yaml"', "    ```yaml"]
    return "\n".join([*lines, *(f"    {line}".rstrip() for line in text.splitlines()), "    ```", ""])


def recipes_page(folder: Path) -> str:
    """Return the page for all recipes of a folder."""
    paths = sorted(folder.rglob("*.yaml"))
    named = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths]
    return "\n".join([INTRODUCTION, *(section(name, path.read_text("utf-8")) for name, path in named)])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the site."""
    from mkdocs.structure.files import File

    folder = Path(config.config_file_path).parent / "recipes"
    files.append(File.generated(config, "recipes.md", content=recipes_page(folder)))
    return files
