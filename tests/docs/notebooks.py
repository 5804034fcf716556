"""Runs the code cells of a notebook in order, as Jupyter would, and keeps what each of them shows.

`PYTHONPATH=tests python -m docs.notebooks` runs the tutorial's notebook from top to bottom and writes what it
showed into the file: after a change of its cells, or of what they print.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs/tutorials/notebook.ipynb"


def read(path: Path = FILE) -> dict[str, Any]:
    """Return a notebook, by the names of nbformat 4."""
    return json.loads(path.read_text("utf-8"))


def source(cell: dict[str, Any]) -> str:
    """Return what a cell says; the file has it line by line."""
    return "".join(cell["source"])


def run(notebook: dict[str, Any], names: dict[str, Any], **numbers: int) -> list[list[dict[str, Any]]]:
    """Run all code cells in one namespace and return the outputs of each, in nbformat's form.

    Args:
        notebook: As `read` returns it; it is not changed.
        names: Namespace, which keeps what the cells define.
        numbers: Keyword arguments to replace, to make the run short.
    """
    cells = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for name, number in numbers.items():
        assert re.search(rf"\b{name}=\d+", "\n".join(cells)), f"the notebook has no {name}"
        cells = [re.sub(rf"\b{name}=\d+", f"{name}={number}", cell) for cell in cells]
    return [_shown(cell, count, names) for count, cell in enumerate(cells, 1)]


def _shown(cell: str, count: int, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one cell: what it prints, the figures that it leaves, and the value of its last expression."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {count}>", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    found = [{"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}]
    found = found if printed.getvalue() else []
    if value is not None and not cell.rstrip().endswith(";"):  # which hides it
        found.append(
            {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": _data(value)}
        )
    return found + _figures()


def _data(value: Any) -> dict[str, Any]:
    """Show a value in every form that it has."""
    data: dict[str, Any] = {"text/plain": _lines(re.sub(r" at 0x\w+", "", repr(value)))}
    if picture := getattr(value, "_repr_png_", None):
        data["image/png"] = base64.b64encode(picture()).decode()
    return data


def _figures() -> list[dict[str, Any]]:
    """Return the open figures of pyplot, and close them, as Jupyter does after each cell."""
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        picture = io.BytesIO()
        pyplot.figure(number).savefig(picture, format="png", dpi=72)
        data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": ["<Figure>"]}
        found.append({"output_type": "display_data", "metadata": {}, "data": data})
    pyplot.close("all")
    return found


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def mark(notebook: dict[str, Any]) -> str:
    """Return a hash of what the code cells say, by which a file tells that its outputs are theirs."""
    code = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


def write(path: Path = FILE) -> None:
    """Run a notebook in an empty folder, and write its outputs into its file."""
    notebook = read(path)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = iter(run(notebook, {"__name__": "__main__"}))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(code, 1):
        cell |= {"outputs": next(outputs), "execution_count": count}
    notebook["metadata"]["sources"] = mark(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "Agg"
    write()
