# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Grids that are not square, and questions of several lengths, through the command line."""

import random

import pytest
import torch
import yaml

from recurlight import RecursiveModule, TableData
from recurlight.__main__ import main

from .fixtures import cache, failure, folder

LAST = "runs/tiny/version_0/checkpoints/last.ckpt"
CELLS = {
    "mixer": ("MixerCell", {}),
    "attention": ("TransformerCell", {"heads": 2, "rotary_axes": 2}),
    "convolution": ("ConvTransformerCell", {"heads": 2, "rotary_axes": 2, "kernel_axes": 2, "kernel": 3}),
}
SEQUENCES = {
    "mixer": ("MixerCell", {}),
    "attention": ("TransformerCell", {"heads": 2, "masked": True}),
    "convolution": ("ConvTransformerCell", {"heads": 2, "masked": True}),
}


@pytest.fixture
def tables(folder):
    """Grids of 6 x 9 letters, to be mirrored, and words of 1 to 9 letters, to be written backwards."""
    generator = random.Random(0)
    grids = ["".join(generator.choices("abc", k=54)) for _ in range(24)]
    words = sorted({"".join(generator.choices("abc", k=generator.randint(1, 9))) for _ in range(24)})
    mirrored = ["".join(grid[first : first + 9][::-1] for first in range(0, 54, 9)) for grid in grids]
    for name, rows in (
        ("grids", zip(grids, mirrored, strict=True)),
        ("words", ((word, word[::-1]) for word in words)),
    ):
        (folder / f"{name}.csv").write_text("\n".join(["question,answer", *map(",".join, rows)]))


def written(kind, data):
    """Write an overlay for a cell and a table."""
    name, settings = kind
    cell = {"class_path": name, "init_args": {"layers": 1, "multiple": 8} | settings}
    model = {"refiner": {"init_args": {"latent": cell}}, "max_segments": 2}
    table = {"class_path": "TableData", "init_args": {"batch_size": 4, "epoch_samples": 16} | data}
    with open("mine.yaml", "w") as file:
        yaml.safe_dump({"model": model, "data": table, "trainer": {"max_steps": 4}}, file)
    return ["--config", "tiny", "--config", "mine.yaml"]


@pytest.mark.parametrize("kind", CELLS)
def test_every_cell_trains_on_a_grid_that_is_no_square(tables, kind, capsys):
    """Breaks when the shape of the data does not reach the cell, or is lost by the checkpoint."""
    data = {"path": "grids.csv", "grid_shape": [6, 9]}
    assert main(["fit", *written(CELLS[kind], data)]) == 0
    model = RecursiveModule.load_from_checkpoint(LAST)
    assert model.recursion.sizes.grid == (6, 9)
    assert main(["test", "--ckpt_path", LAST]) == 0
    answers = model(next(iter(TableData(**data).test_dataloader()))).logits
    assert answers.shape[1:] == (54, 4)
    assert answers.isfinite().all()


@pytest.mark.parametrize("kind", SEQUENCES)
def test_every_cell_trains_on_questions_of_several_lengths(tables, kind, capsys):
    """Breaks when a mask is not told to the cell of a model on the command line."""
    assert main(["fit", *written(SEQUENCES[kind], {"path": "words.csv"})]) == 0
    model = RecursiveModule.load_from_checkpoint(LAST)
    assert model.recursion.refiner.cells()["latent"].masked == (kind != "mixer")
    batch = next(iter(TableData("words.csv").val_dataloader()))
    assert model(batch).logits.isfinite().all()


@pytest.mark.parametrize("setting", ["rotary_axes", "kernel_axes"])
def test_a_cell_that_needs_a_grid_is_refused_on_a_sequence(tables, setting, capsys):
    """Breaks when nine letters are taken for a square."""
    cell = ("ConvTransformerCell", {"heads": 2, setting: 2})
    message = failure(capsys, "fit", *written(cell, {"path": "words.csv"}))
    assert message == (
        f"ConvTransformerCell: 1 x 9 tokens are no grid, which {setting}=2 needs: set {setting} to 1, or "
        "give data whose grid_shape has rows and columns"
    )


def test_the_shape_follows_from_the_data(tables, capsys):
    """Breaks when the command line takes a shape that the data have not."""
    arguments = written(CELLS["mixer"], {"path": "words.csv"})
    message = failure(capsys, "fit", *arguments, "--model.grid_shape=[3,3]")
    assert message == "model.grid_shape: this follows from data.grid_shape: leave it out"
