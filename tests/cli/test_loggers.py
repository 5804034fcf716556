# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Loggers by their class, as the page of the command line shows them."""

import csv
import re
from pathlib import Path

import yaml

from recurlight.__main__ import main

from .fixtures import cache, folder

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_figures_are_written_where_the_page_says(folder):
    """Fails if the YAML of the page, with the class and folder of its logger, does not do what is said."""
    shown = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.S))
    assert yaml.safe_load(shown)["trainer"]["logger"]["class_path"] == "CSVLogger"
    (folder / "logger.yaml").write_text(shown)
    every = ["--trainer.log_every_n_steps", "1"]
    assert main(["fit", "--config", "tiny", "--config", "logger.yaml", *every]) == 0
    place = folder / "runs" / "quickstart" / "version_0"
    with (place / "metrics.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [row["step"] for row in rows if row.get("loss")] == ["0", "1"]
    assert any(value for row in rows for name, value in row.items() if name.startswith("val/"))
    assert (place / "config.yaml").is_file()
    assert (place / "checkpoints" / "last.ckpt").is_file()
