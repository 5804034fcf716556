"""The wheel holds all that the command line needs, and works from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--data.num_train=8", "--data.num_val=4", "--data.num_test=4", "--data.batch_size=4"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel, built without a network, as pip would lay it out."""
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def process(unpacked, tmp_path):
    """Run Python in an empty folder, with the unpacked wheel before anything that is installed."""
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "OMP_NUM_THREADS": "1"}
    environment["RECURLIGHT_CACHE"] = str(tmp_path / "cache")

    def run(*arguments):
        settings = {"cwd": empty, "env": environment, "capture_output": True, "text": True, "check": False}
        done = subprocess.run([sys.executable, *arguments], **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def files(folder, pattern):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern))


def test_it_holds_the_package_and_the_recipes_and_nothing_else(unpacked):
    """Fails if a module, a recipe or `py.typed` is left out, or tests are packed."""
    package = unpacked / "recurlight"
    assert files(package / "recipes", "*.yaml") == files(ROOT / "recipes", "*.yaml")
    assert files(package, "*.py") == files(ROOT / "recurlight", "*.py")
    assert (package / "py.typed").is_file()
    assert files(package, "page.*") == [f"tracing/page.{kind}" for kind in ("css", "html", "js", "py")]
    assert {path.name.partition("-")[0] for path in unpacked.iterdir()} == {"recurlight"}


def test_recipes_are_found_by_name_from_an_empty_folder(process, unpacked):
    """Fails if recipes are looked for beside the package, where only a checkout has them."""
    where = process("-c", "import recurlight; print(recurlight.__file__)")
    assert Path(where.strip()).is_relative_to(unpacked)
    listed = process("-m", "recurlight", "recipes", "list")
    assert [line.split()[0] for line in listed.splitlines()] == [
        name.removesuffix(".yaml") for name in files(ROOT / "recipes", "*.yaml")
    ]
    (information,) = unpacked.glob("*.dist-info")
    version = information.name.removesuffix(".dist-info").partition("-")[2]
    assert process("-m", "recurlight", "--version") == f"recurlight {version}\n"


def test_a_recipe_trains_from_an_empty_folder(process):
    """Fails if a file that training needs is not in the wheel."""
    arguments = ["-m", "recurlight", "fit", "--config", "trm_sudoku", "--config", "small", *SMALL]
    process(*arguments, "--trainer.accelerator=cpu", "--trainer.fast_dev_run=1")
