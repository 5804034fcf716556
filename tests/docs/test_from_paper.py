"""The page from papers to YAML: its lines are those of the recipes, its keys and classes exist."""

import importlib
import inspect
import re

import pytest
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

import recurlight
from docs.test_pages import DOCS, ROOT
from recurlight import (
    Encoder,
    FixedPointSolver,
    GradientTruncation,
    Halting,
    PuzzleData,
    RecursiveModule,
    Refiner,
    SequenceLoss,
    SparseTable,
    Supervision,
)
from recurlight.__main__ import COMMANDS
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.request import prepare

PAGE = (DOCS / "from-paper.md").read_text("utf-8")
RECIPES = ROOT / "recipes"
BLOCKS = dict(re.findall(r'^```yaml title="([\w.]+)"\n(.*?)^```$', PAGE, re.M | re.S))
PARTS = [getattr(recurlight, name) for name in recurlight.__all__]
CELLS = [part for part in vars(importlib.import_module("recurlight.cells")).values() if inspect.isclass(part)]


def kinds(base):
    """Return the public classes of an axis."""
    return [part for part in PARTS if inspect.isclass(part) and issubclass(part, base)]


SLOTS = {
    "model": [RecursiveModule],
    "data": kinds(PuzzleData),
    "trainer": [Trainer],
    "refiner": kinds(Refiner),
    "latent": CELLS,
    "answer": CELLS,
    "truncation": kinds(GradientTruncation),
    "solver": kinds(FixedPointSolver),
    "backward_solver": kinds(FixedPointSolver),
    "halting": kinds(Halting),
    "encoder": kinds(Encoder),
    "task_table": [SparseTable],
    "loss": kinds(SequenceLoss),
    "supervision": kinds(Supervision),
    "optimizer": [recurlight.AdamATan2, recurlight.SplitOptimizer],
    "scheduler": [recurlight.LinearWarmup, recurlight.LinearWarmupCosine],
    "logger": [TensorBoardLogger],
}
"""Who may stand where a key leads to, by the last word of the key."""


def arguments(holder):
    """Return what the constructors of a class and of what it hands `**settings` on to take."""
    made = [one.__init__ for one in holder.__mro__ if "__init__" in vars(one) and one is not nn.Module]
    return {name for one in made for name in inspect.signature(one).parameters}


def exists(key):
    """Say whether each word of a key is an argument of what the words before it lead to."""
    head, *words = key.split(".")
    holders = SLOTS.get(head, [])
    for word in words:
        if not any(word in arguments(holder) for holder in holders):
            return False
        holders = SLOTS.get(word, [])
    return head in SLOTS or (head == "seed_everything" and not words)


def tables():
    """Yield the rows of the tables of keys and classes: what is theirs, what is ours, what is said of it."""
    for part in re.split(r"^## ", PAGE, flags=re.M):
        if part.startswith("From "):
            rows = re.findall(r"^\| (.*?) \|(.*?)\| ?(.*?) ?\|$", part, re.M)
            yield from (row for row in rows if not row[0].startswith(("your", "---")))


def codes(text):
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


KEY = re.compile(r"(model|data|trainer|seed_everything)[\w.]*")
OURS = sorted({code for _, ours, _ in tables() for code in codes(ours)})
SAID = sorted({code for _, _, said in tables() for code in codes(said)})
KEYS = [code for code in OURS + SAID if KEY.fullmatch(code)]
OTHERS = [code for code in OURS if code not in KEYS]
LIGHTNING = importlib.import_module("lightning.pytorch.callbacks")
CALLBACKS = importlib.import_module("recurlight.callbacks")


def named(name):
    """Return a public part of recurlight or a callback of either library, None if there is none."""
    return next(
        (getattr(home, name) for home in (recurlight, CALLBACKS, LIGHTNING) if hasattr(home, name)), None
    )


@pytest.mark.parametrize("key", sorted(set(KEYS)))
def test_a_key_of_ours_exists(key):
    assert exists(key)


def test_a_key_that_does_not_exist_is_told():
    assert exists("model.refiner.latent.rotary_axes")
    wrong = "model.refiner.latent.rotary", "model.solver", "model.truncation.solver.steps", "train.width"
    assert not any(map(exists, wrong))


@pytest.mark.parametrize("name", OTHERS)
def test_a_class_a_method_a_flag_or_a_command_of_ours_exists(name):
    first, *words = name.split()
    if first == "recurlight":
        assert words[0] in COMMANDS
    elif first == "--config":
        assert (RECIPES / f"{words[0]}.yaml").exists()
    elif name not in {"--ckpt_path", "--weights"}:
        home, _, method = name.partition(".")
        assert named(home)
        assert not method or callable(getattr(named(home), method))


def test_what_is_said_of_a_row_names_classes_that_exist():
    classes = {code for code in SAID if re.fullmatch(r"[A-Z]\w*[a-z]\w*", code)} - {"True", "False"}
    assert [name for name in classes if named(name) is None] == []
    assert {"EMAWeightAveraging", "Doctor", "SparseTable"} <= classes


def within(part, whole):
    """Say whether settings are among others: of lists, each of the part's stands somewhere in the whole."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and within(part[key], whole[key]) for key in part)
    if isinstance(part, list) and part and isinstance(part[0], dict):
        return all(any(within(one, other) for other in whole) for one in part)
    return part == whole


OF_RECIPES = [name for name in BLOCKS if not name.endswith(".yaml")]


@pytest.mark.parametrize("name", OF_RECIPES)
def test_the_lines_are_those_of_the_recipe(name):
    """Fails when a recipe changes and the page does not."""
    assert within(yaml.safe_load(BLOCKS[name]), yaml.safe_load((RECIPES / f"{name}.yaml").read_text()))


def test_other_lines_are_not_taken_for_those_of_the_recipe():
    lines = yaml.safe_load(BLOCKS["cgar_sudoku"])
    lines["trainer"]["callbacks"][0]["init_args"]["starts"] = [0.0, 0.5, 0.6]
    assert not within(lines, yaml.safe_load((RECIPES / "cgar_sudoku.yaml").read_text()))


def test_every_paper_has_its_row_its_section_and_its_recipe():
    rows = re.findall(r"^\| \[([\w-]+)\]\(#([\w-]+)\) \| (.*?) \|", PAGE, re.M)
    sections = re.findall(r"^## (?!From)(.+)$", PAGE, re.M)
    assert [name for name, *_ in rows] == sections
    assert [anchor for _, anchor, _ in rows] == [name.lower() for name in sections]
    recipes = {code for *_, recipe in rows for code in codes(recipe)}
    assert {recipe for recipe in recipes if not (RECIPES / f"{recipe}.yaml").exists()} == set()
    assert set(OF_RECIPES) <= recipes


@pytest.fixture
def composed(tmp_path, monkeypatch):
    """A function that returns what a `fit` of the page builds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    for name, text in BLOCKS.items():
        if name.endswith(".yaml"):
            (tmp_path / name).write_text(text)
    built = []
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, _: built.append(self))

    def compose(words):
        RecurlightCLI(prepare("fit", [*words, "--trainer.accelerator=cpu"], RECIPES))
        return built[-1]

    return compose


def test_the_lines_of_sic_compose(composed):
    """Fails when a line of the overlay is refused, or another recipe's stays in effect."""
    (words,) = re.findall(r"^recurlight fit (.*sic.*)$", PAGE, re.M)
    built = composed(words.split())
    recursion = built.model.recursion
    assert (recursion.cycles, recursion.refiner.latent_steps, recursion.sizes.prefix) == (6, 9, 0)
    assert built.model.supervision.width == 4
    assert built.model.loss.label_smoothing == 0.2
    assert (built.datamodule.batch_size, built.trainer.max_steps) == (384, 8000)
    assert isinstance(built.model.configure_optimizers()["optimizer"], recurlight.SplitOptimizer)


def test_the_searches_of_the_page_are_searches():
    """Fails when a selector or a flag of a test-time command is not known."""
    commands = re.findall(r"^recurlight test (?:.*\\\n)*.*$", PAGE, re.M)
    assert len(commands) == 3
    for command in commands:
        flags = dict(re.findall(r"--search\.(\w+) (\S+)", command))
        selector = getattr(recurlight, flags.pop("selector"))()
        settings = {name: yaml.safe_load(text) for name, text in flags.items()}
        assert recurlight.Search(**settings, selector=selector).width >= 12
