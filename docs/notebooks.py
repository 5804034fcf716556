"""Makes a page of every notebook, as it lies in the repository: text, code, and what the code showed."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def notebook_page(notebook: dict[str, Any], file: str) -> str:
    """Return a notebook as Markdown, with a link to the file under its title.

    >>> cells = [{"cell_type": "markdown", "source": ["# Sum\\n", "\\n", "One cell."]}]
    >>> cells += [{"cell_type": "code", "source": ["1 + 1"], "outputs": [{"data": {"text/plain": ["2"]}}]}]
    >>> print(notebook_page({"cells": cells}, "sum.ipynb"))
    # Sum
    <BLANKLINE>
    [Download this page as a notebook](sum.ipynb)
    <BLANKLINE>
    One cell.
    <BLANKLINE>
    ```python
    1 + 1
    ```
    <BLANKLINE>
    ```text
    2
    ```
    """
    parts = [part for cell in notebook["cells"] for part in _cell(cell)]
    title, _, rest = parts[0].partition("\n\n")
    return "\n\n".join([title, f"[Download this page as a notebook]({file})", rest, *parts[1:]])


def _cell(cell: dict[str, Any]) -> list[str]:
    """Return the blocks of one cell."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [_block("python", source), *map(_shown, cell["outputs"])]


def _shown(output: dict[str, Any]) -> str:
    """Return an output: the picture if there is one, else the text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![What the code shows](data:image/png;base64,{data['image/png'].strip()})"
    return _block("text", "".join(output.get("text") or data["text/plain"]))


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the site, each beside its notebook."""
    from mkdocs.structure.files import File

    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = PurePosixPath(file.src_uri)
        page = notebook_page(json.loads(file.content_string), path.name)
        files.append(File.generated(config, str(path.with_suffix(".md")), content=page))
    return files
