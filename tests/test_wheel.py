"""The wheel, installed into an environment of its own, works from an empty folder with no repository near."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
SMALL = "--data.num_train=8 --data.num_val=4 --data.num_test=4 --data.batch_size=4 --trainer.max_steps=2"
CKPT = "runs/quickstart/version_0/checkpoints/last.ckpt"

USE = f"""
import json, recurlight
from recurlight.__main__ import main
from recurlight.testing import check_refiner

question = "1" + "." * 35
assert main(["trace", "--ckpt_path", "{CKPT}", "--question", question]) == 0
assert main(["solve", "--ckpt_path", "{CKPT}", "--json", question]) == 0
print(recurlight.__file__)
check_refiner(lambda: recurlight.SingleRefiner(recurlight.MixerCell(layers=1)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network."""
    built = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel and an empty folder; what recurlight needs is borrowed from this one."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "env", symlinks=True)
    (packages,) = (home / "env").glob("lib/python*/site-packages")
    python, empty = home / "env/bin/python", home / "empty"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--quiet", "--disable-pip-version-check", str(wheel)], check=True)
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]  # after its own packages
    (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed))
    empty.mkdir()
    return SimpleNamespace(python=python, packages=packages, empty=empty)


@pytest.fixture(scope="module")
def run(installed):
    """Run a program of the environment in the empty folder."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**alone, "OMP_NUM_THREADS": "1", "RECURLIGHT_CACHE": str(installed.empty / "cache")}

    def call(program, *words):
        command = [installed.python.parent / program, *words]
        settings = {"cwd": installed.empty, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run(command, **settings, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def files(folder, pattern):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob(pattern))


def test_it_holds_the_package_and_the_recipes_and_nothing_else(wheel, tmp_path):
    """Fails if a module, a recipe or `py.typed` is left out, or tests are packed."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    package = tmp_path / "recurlight"
    assert files(package / "recipes", "*.yaml") == files(ROOT / "recipes", "*.yaml")
    assert files(package, "*.py") == files(ROOT / "recurlight", "*.py")
    assert (package / "py.typed").is_file()
    assert files(package, "page.*") == [f"tracing/page.{kind}" for kind in ("css", "html", "js", "py")]
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"recurlight"}


def test_recipes_are_found_by_name_from_an_empty_folder(run, installed):
    """Fails if recipes are looked for beside the package, where only a checkout has them."""
    listed = run("recurlight", "recipes", "list")
    assert [line.split()[0] for line in listed.splitlines()] == [
        name.removesuffix(".yaml") for name in files(ROOT / "recipes", "*.yaml")
    ]
    assert run("recurlight", "recipes", "copy", "quickstart", "mine.yaml") == "mine.yaml\n"
    assert (installed.empty / "mine.yaml").read_text() == (ROOT / "recipes/quickstart.yaml").read_text()
    (information,) = installed.packages.glob("recurlight-*.dist-info")
    version = information.name.removesuffix(".dist-info").partition("-")[2]
    assert run("recurlight", "--version") == f"recurlight {version}\n"


def test_the_quickstart_trains_and_its_model_is_used(run, installed):
    """Fails if a file that training, the page, an answer or a check needs is not in the wheel."""
    told = run("recurlight", "fit", "--config", "quickstart", *SMALL.split())
    assert "exact accuracy after segments" in told
    traced, solved, where = run("python", "-c", USE).splitlines()[-3:]
    assert traced.startswith("trace.html: ")
    assert (installed.empty / "trace.html").read_text("utf-8").startswith("<!doctype html>")
    assert len(json.loads(solved)["answer"]) == 36
    assert Path(where) == installed.packages / "recurlight/__init__.py"
