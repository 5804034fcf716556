"""Every recipe in the folder composes at its published size, trains, and says what it claims."""

import re

import pytest
import torch
import yaml
from overlays import FOLDER, OVERLAYS, RECIPES, WHOLE, few, runnable, standing

from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.request import prepare

PUBLISHED = {
    "trm_sudoku": 4.97,
    "trm_attention_sudoku": 6.8,
    "hrm_sudoku": 27.3,
    "trm_maze": 6.8,
    "hrm_maze": 27.3,
    "trm_arc1": 6.8,  # the tasks' vectors are no parameters
    "hrm_arc1": 27.3,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_there_are_recipes():
    assert {"quickstart", "hrm_sudoku", "deq_sudoku", "small"} < set(RECIPES)


def fields(name):
    """Return a recipe's header by field, and its first line."""
    first, _, *rest = re.match(r"(?:#.*\n)*", (FOLDER / f"{name}.yaml").read_text("utf-8"))[0].splitlines()
    joined = re.sub(r"\n#   +", " ", "\n".join(rest))
    return first, dict(re.findall(r"^# ([A-Z]\w*): +(.+)$", joined, re.M))


@pytest.mark.parametrize("name", RECIPES)
def test_header(name):
    first, found = fields(name)
    assert first.startswith(f"# {name}: ")
    allowed = ["Task", "Paper", "What", "Published", "Measured", "By", "Note", "Hardware", "Command"]
    assert list(found) == [field for field in allowed if field in found]
    assert {"Task", "Published", "Measured", "Hardware", "Command"} <= set(found)
    assert "Paper" in found or name in OVERLAYS


@pytest.mark.parametrize("name", RECIPES)
def test_what_was_measured_and_what_was_published_are_told_apart(name):
    """Fails when a figure lacks what makes it one, or stands where the other kind does."""
    _, found = fields(name)
    measured, published = found["Measured"], found["Published"]
    if not re.fullmatch(r"not run at this size(, .*)?|no figure: .*", measured):
        for part in ("steps", "seed 0", "CPU"):
            assert part in measured
        assert re.search(r"\d (s|minutes?) of |half a minute of ", measured)
        assert "--seed_everything 0" in found.get("By", "--seed_everything 0")
    assert published.startswith("no figure") or re.search(r"\d", published)
    assert "seed" not in published
    assert not re.search("published|reported|arXiv", measured)
    assert not re.search(r"\d %", found["Hardware"])
    if found.get("By"):
        assert set(re.findall(r"--config (\w+)", found["By"])) <= set(RECIPES)


@pytest.mark.parametrize("name", runnable(WHOLE))
def test_trains_when_small(name):
    assert main(["fit", *few(name), "--trainer.fast_dev_run=2", "--trainer.accelerator=cpu"]) == 0


@pytest.mark.parametrize("name", runnable(WHOLE))
def test_bfloat16_by_flag_alone(name):
    arguments = ["--trainer.precision=bf16-mixed", "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu"]
    assert main(["fit", *few(name), *arguments]) == 0


@pytest.mark.parametrize("name", runnable(WHOLE))
def test_composes_at_its_own_size(name, monkeypatch):
    models = []
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, _: models.append(self.model))
    RecurlightCLI(prepare("fit", ["--config", name, *standing(name), "--trainer.accelerator=cpu"], FOLDER))
    weights = sum(parameter.numel() for parameter in models[0].recursion.parameters()) / 1e6
    assert weights == pytest.approx(PUBLISHED.get(name, weights), rel=0.02)
    sizes = models[0].recursion.sizes
    question = torch.ones(1, sizes.tokens, dtype=torch.int64)
    question = torch.ones(1, sizes.tokens, sizes.features) if sizes.features else question
    assert models[0].recursion.encoder(question, torch.zeros(1, dtype=torch.int64)).isfinite().all()


@pytest.mark.parametrize("name", WHOLE)
def test_ends_with_averaged_weights_of_parameters_only(name):
    settings = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    averages = [c for c in settings["trainer"]["callbacks"] if c["class_path"] == "EMAWeightAveraging"]
    assert [average["init_args"]["use_buffers"] for average in averages] == [False]
