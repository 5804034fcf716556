"""The pages: their code runs, the API is complete, and the recipes page follows the recipes."""

import importlib
import importlib.util
import pkgutil
import re
import shlex
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from helpers import trainer, trm

import recurlight
from recurlight.__main__ import main
from recurlight.optim import make_optimizer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder of its own, with its own cache."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mine", None)  # the file that a page saves; other tests have one of that name


def blocks(page, language):
    """Return the code blocks of a page."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.M | re.S)


def execute(page, **numbers):
    """Run a page's Python from top to bottom, with some keyword arguments replaced to make it short."""
    code = "\n".join(blocks(page, "python"))
    for name, number in numbers.items():
        code, count = re.subn(rf"\b{name}=\d+", f"{name}={number}", code)
        assert count, f"{page} has no {name}"
    quiet = "Trainer(enable_progress_bar=False, enable_model_summary=False, "
    module = types.ModuleType("page")
    sys.modules["page"] = module  # dataclasses and pickle look their module up
    exec(code.replace("Trainer(", quiet), vars(module))
    return vars(module)


def loss(model, batch):
    """Return the loss after the first segment."""
    with torch.no_grad():
        prediction = next(model.recursion.unroll(batch))
        return model.loss(prediction.logits, batch.labels).mean().item()


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The names that the page on extending defines, after its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return execute("extending.md", max_steps=40, num_train=40, num_val=4, num_test=40)


def test_the_example_of_a_refiner_trains(extended):
    data, model = extended["data"], extended["model"]
    batch = next(iter(data.test_dataloader()))
    untrained = recurlight.RecursiveModule(
        data.vocab_size,
        data.seq_len,
        extended["MyRefiner"](recurlight.MixerCell(multiple=32), damping=0.7),
        recurlight.LastCycles(1),
        recurlight.CorrectnessHalting(),
        width=32,
    )
    assert loss(model, batch) < 0.85 * loss(untrained, batch)


def test_the_example_of_a_refiner_does_what_its_formula_says(extended):
    refiner = extended["MyRefiner"](torch.nn.Tanh(), damping=0.25)
    answer, injection = torch.full((1, 2, 3), 2.0), torch.full((1, 2, 3), 1.0)
    after = refiner.update(extended["MyState"](answer), injection, "answer").answer
    expected = 0.75 * answer + 0.25 * torch.tanh(answer + injection)
    torch.testing.assert_close(after, expected)


def test_the_example_of_a_gate_is_built_and_trained_by_the_composition(extended):
    """Fails if a refiner's own layer is not told the sizes, or draws from global random state."""

    class Gated(extended["MyRefiner"]):
        def __init__(self, cell: torch.nn.Module) -> None:
            super().__init__(cell)
            self.gate = extended["Gate"]()

        def update(self, state, injection, level):
            share = self.gate(proposal := self.cell(state.answer + injection))
            return type(state)(state.answer + share * (proposal - state.answer))

    def made():
        sizes = recurlight.Sizes(vocab=6, tokens=16, width=24)
        parts = (Gated(recurlight.MixerCell(multiple=8)), recurlight.EveryUpdate(), recurlight.FixedHalting())
        return recurlight.Recursion(sizes, *parts, cycles=1)

    one, two = made(), made()
    tokens = torch.ones(2, 16, dtype=torch.int64)
    batch = recurlight.Batch(tokens, tokens, tokens[:, 0])
    one.segment(one.start(batch), batch)[1].logits.sum().backward()
    assert one.refiner.gate.weight.grad.abs().sum() > 0
    assert torch.equal(one.refiner.gate.weight, two.refiner.gate.weight)


def test_the_example_of_a_refiner_is_short():
    assert blocks("extending.md", "python")[0].count("\n") < 40


def test_the_command_line_finds_the_example_of_a_refiner(folder, monkeypatch, capsys):
    (folder / "mine.py").write_text(blocks("extending.md", "python")[0])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    command = next(block for block in blocks("extending.md", "bash") if "mine.MyRefiner" in block)
    words = shlex.split(command.replace("\\\n", " "))
    sizes = "--model.width 16 --data.num_train 8 --data.num_val 4 --data.batch_size 4 --data.epoch_samples 8"
    quiet = "--trainer.accelerator cpu --trainer.enable_progress_bar false --trainer.max_steps 2"
    assert main([*words[1:], *sizes.split(), *quiet.split()]) == 0
    assert "exact accuracy after segments" in capsys.readouterr().out
    saved = (folder / "runs/trm_sudoku/version_0/config.yaml").read_text()
    assert "class_path: mine.MyRefiner" in saved
    assert "damping: 0.7" in saved


def test_the_example_of_a_window_lengthens_with_the_segment(extended):
    window = extended["LastShare"](0.25)
    assert sum(window.mask(("latent", "answer"), 2)) == 1
    assert sum(window.mask(("latent", "answer"), 8)) == 4


def test_the_example_of_a_halting_policy_waits_for_the_least_certain_token(extended):
    halting = extended["ConfidenceHalting"](threshold=0.9)
    sure, unsure = [1000.0, 0.0], [0.0, 0.0]
    logits = torch.tensor([[sure, sure], [sure, unsure]])
    score = halting.score(recurlight.Segment(logits, logits, logits))
    assert halting.should_halt(score, torch.tensor([1, 1])).tolist() == [True, False]


def test_the_command_line_trains_by_the_example_of_a_supervision(folder, monkeypatch, capsys):
    (code,) = (block for block in blocks("extending.md", "python") if "(Supervision)" in block)
    assert code.count("\n") < 40
    (folder / "mine.py").write_text(code)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    part = "--model.supervision mine.LastSegment --model.supervision.segments 2 --model.width 16"
    sizes = "--data.num_train 8 --data.num_val 4 --data.batch_size 4 --data.epoch_samples 8"
    quiet = "--trainer.accelerator cpu --trainer.enable_progress_bar false --trainer.max_steps 2"
    words = f"fit --config trm_sudoku --config small {part} {sizes} {quiet}"
    assert main(words.split()) == 0
    assert "; LastSegment" in capsys.readouterr().out


def test_the_command_line_trains_with_the_example_of_a_curriculum(folder, monkeypatch, capsys):
    (code,) = (block for block in blocks("extending.md", "python") if "(Curriculum)" in block)
    (folder / "mine.py").write_text(code)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    part = "--trainer.callbacks+=mine.MoreSegments --trainer.callbacks.every 1 --model.width 16"
    sizes = "--data.num_train 8 --data.num_val 4 --data.batch_size 4 --data.epoch_samples 8"
    quiet = "--trainer.accelerator cpu --trainer.enable_progress_bar false --trainer.max_steps 2"
    assert main(f"fit --config trm_sudoku --config small {part} {sizes} {quiet}".split()) == 0
    assert "; OneSegment, MoreSegments" in capsys.readouterr().out


def test_the_command_line_trains_the_example_of_a_model(folder, monkeypatch, capsys):
    (code,) = (block for block in blocks("extending.md", "python") if "(RecursiveModule)" in block)
    (folder / "deep.py").write_text(code)
    (folder / "calm.yaml").write_text(
        next(block for block in blocks("extending.md", "yaml") if "deep.Calm" in block)
    )
    monkeypatch.delitem(sys.modules, "deep", raising=False)
    sizes = "--data.num_train 8 --data.num_val 4 --data.batch_size 4 --data.epoch_samples 8 --model.width 16"
    quiet = "--trainer.accelerator cpu --trainer.enable_progress_bar false --trainer.max_steps 2"
    words = f"fit --config trm_sudoku --config small --config calm.yaml {sizes} {quiet}"
    assert main(words.split()) == 0
    assert "; OneSegment, Calm" in capsys.readouterr().out
    saved = (folder / "runs/trm_sudoku/version_0/config.yaml").read_text()
    assert "  class_path: deep.Calm\n  calm: 0.001\n" in saved


def test_the_start_page_runs(capsys):
    names = execute("index.md", max_steps=2, num_train=8, num_val=4, num_test=4, batch_size=4)
    assert "exact accuracy after segments" in capsys.readouterr().out
    assert names["prediction"].segments.tolist() == [16] * 4
    assert re.search(r"^[1-4.] [1-4.] \| [1-4.] [1-4.]$", names["answer"], re.M)


def test_the_page_on_mazes_runs(capsys):
    execute("tutorials/mazes.md", max_steps=2, num_train=8, num_val=4, num_test=4, batch_size=4)
    out = capsys.readouterr().out
    assert out.count("question") == 2
    assert re.search(r"^optimal +\d", out, re.M)


@pytest.mark.parametrize("page", ["index.md", "extending.md", "tutorials/mazes.md", "tutorials/arc.md"])
def test_command_lines_name_recipes_that_exist(page):
    recipes = {path.stem for path in (ROOT / "recipes").rglob("*.yaml")}
    named = set(re.findall(r"--config (\w+)", "\n".join(blocks(page, "bash"))))
    assert named <= recipes
    assert named


def test_the_example_of_groups_of_the_optimizer_fits_the_published_composition():
    """Fails when two groups of the example have a weight in common, which is refused."""
    (text,) = (block for block in blocks("choosing.md", "yaml") if "optimizer_groups" in block)
    model, groups = trm(), yaml.safe_load(text)["model"]["optimizer_groups"]
    names = {id(weight): name for name, weight in model.named_parameters()}
    made = make_optimizer(recurlight.AdamATan2, model, groups).param_groups
    found = [{names[id(weight)] for weight in group["params"]} for group in made]
    assert found[:2] == [{"halting.head.weight", "halting.head.bias"}, {"encoder.token"}]
    assert made[1]["weight_decay"] == 0
    assert "decoder.head.weight" not in set().union(*found)


def test_the_page_on_examining_runs():
    """Fails if a name is left out, or the figure taken alone is another than the report's."""
    names = execute("diagnostics.md")
    radius = names["report"].finding("spectrum").figures["radius"]
    assert names["spectrum"].radius.median().item() == pytest.approx(radius)


def test_the_page_on_watching_runs(capsys):
    """Fails if a name is left out, or the page that Python makes is not the command's."""
    names = execute("trace.md")
    assert names["html"].startswith("<!doctype html>")
    assert names["found"].summary() in capsys.readouterr().out


def shown_paths():
    """Yield every path that an API page shows."""
    for page in (DOCS / "api").glob("*.md"):
        yield from re.findall(r"^::: ([\w.]+)$", page.read_text("utf-8"), re.M)


def documented():
    """Yield every object that an API page shows."""
    for path in shown_paths():
        home, _, name = path.rpartition(".")
        thing = getattr(importlib.import_module(home), name)
        names = getattr(thing, "__all__", None)  # a module shows all of its names
        yield from [thing] if names is None else [getattr(thing, name) for name in names]


def public():
    """Yield every public name with what it names, of the package and of what lies right below it."""
    homes = [recurlight]
    for found in pkgutil.iter_modules(recurlight.__path__, "recurlight."):
        if not found.name.endswith("__"):  # what `python -m` runs
            homes.append(importlib.import_module(found.name))
    for home in homes:
        yield from ((f"{home.__name__}.{name}", getattr(home, name)) for name in getattr(home, "__all__", ()))


def test_the_api_pages_show_every_public_name():
    shown = {id(thing) for thing in documented()}
    assert [name for name, thing in public() if id(thing) not in shown] == []


def test_the_api_pages_show_nothing_twice():
    shown = Counter(path.rpartition(".")[2] for path in shown_paths())
    assert [name for name, times in shown.items() if times > 1] == []


def test_the_loop_without_lightning_learns():
    """Fails if the page leaves a name out, or if what it shows does not train."""
    data = recurlight.SudokuData(size=4, num_train=8, num_val=4, num_test=4, batch_size=4)
    parts = recurlight.TwoLevelRefiner(recurlight.MixerCell(1), latent_steps=1), recurlight.LastCycles(1)
    settings = {"truncation": parts[1], "halting": recurlight.CorrectnessHalting(), "width": 8}
    model = recurlight.RecursiveModule.for_data(data, refiner=parts[0], max_segments=2, **settings)
    fit = trainer(max_steps=1, limit_val_batches=0)
    fit.fit(model, data)
    fit.save_checkpoint("last.ckpt")
    names = execute("api/recursion.md")
    assert names["prediction"].segments.tolist() == [2] * len(names["questions"].task)
    exported = names["recursion"].eval().solve(names["questions"], 1, adaptive=False).logits
    torch.testing.assert_close(names["logits"], exported, rtol=0, atol=1e-5)
    first = names["recursion"].solve(names["questions"]).logits
    assert names["step"] == 99
    assert names["loss_of"](first, names["questions"].labels).mean() < 1.6  # ln 6 without training
    assert names["answers"].shape == names["questions"].labels.shape


PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_nothing_twice_and_keeps_its_blocks_apart(page):
    """Both happen where two versions of a paragraph, or two lists of names, are joined line by line."""
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text("utf-8"), flags=re.M | re.S)
    sentences = Counter(part for part in re.split(r"(?<=[.:])\s+", " ".join(text.split())) if len(part) > 60)
    assert [sentence for sentence, times in sentences.items() if times > 1] == []
    assert re.findall(r"^\S.*\n:::.*$", text, re.M) == []
    assert re.findall(r"^:::.*\n\S.*$", text, re.M) == []
    assert re.findall(r"^    \w.*\n\S.*$", text, re.M) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_that_are_there(page):
    """Fails when a file is moved and a page still sends readers to its old place."""
    text = (DOCS / page).read_text("utf-8")
    named = set(re.findall(r"`((?:recurlight|tests|docs|recipes|benchmarks)/[\w/]+\.\w+)`", text))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_map_names_every_folder_and_no_other():
    """Folders, and modules beside them; what only Python looks for is left out."""
    package = Path(recurlight.__file__).parent
    there = {f"{p.name}/" for p in package.iterdir() if (p / "__init__.py").exists()}
    there |= {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    rows = re.findall(r"^\|.*\|(.*)\|$", (DOCS / "house.md").read_text("utf-8"), re.M)
    named = {name for row in rows for name in re.findall(r"`([\w/.]+)`", row)}
    assert named == there


def test_no_folder_outgrows_the_map():
    package = Path(recurlight.__file__).parent
    folders = [package, *(path.parent for path in package.rglob("__init__.py"))]
    assert {folder.name for folder in folders if len(list(folder.glob("*.py"))) > 16} == set()
    assert len(list(package.glob("*.py"))) <= 10


def test_the_menu_names_every_page():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert [page for page in pages if f": {page}" not in menu] == []


def hook(file):
    """Return a module of the documentation's own."""
    specification = importlib.util.spec_from_file_location(f"docs_{file}", DOCS / f"{file}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def hooks():
    return hook("hooks")


def test_the_recipes_page_has_every_recipe(hooks):
    page = hooks.recipes_page(ROOT / "recipes")
    headings = re.findall(r"^## (\S+)$", page, re.M)
    paths = (ROOT / "recipes").rglob("*.yaml")
    assert headings == sorted(p.relative_to(ROOT / "recipes").with_suffix("").as_posix() for p in paths)
    assert "87.4 % exact on Sudoku-Extreme" in page


def test_the_recipes_stand_in_one_table_by_task(hooks):
    """Fails when a recipe is left out or told twice, or its figures are mixed up."""
    page = hooks.recipes_page(ROOT / "recipes")
    (table,) = re.findall(r"(?:^\|.*\n)+", page.partition("\n## ")[0], re.M)
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    tasks = [cells[0].strip("*| ") for cells in rows if cells[0].startswith("**")]
    assert tasks == list(hooks.TASKS)
    told = {re.match(r"\[(.+)\]\(#\1\)", cells[0])[1]: cells[1:] for cells in rows if cells[0][0] == "["}
    assert sorted(told) == re.findall(r"^## (\S+)$", page, re.M)
    assert len(told) + len(tasks) == len(rows)
    for name, cells in told.items():
        fields = hooks.header((ROOT / f"recipes/{name}.yaml").read_text("utf-8"))
        assert cells == [
            fields["title"],
            fields["Measured"],
            fields["Published"],
            f"`{hooks.fit(fields['Command'])}`",
        ]


def test_a_recipe_of_no_task_is_told_with_what_to_write(hooks):
    with pytest.raises(ValueError, match="tiny: write '# Task:' and one of Sudoku, "):
        hooks.table({"tiny": {"title": "the smallest", "Task": "Chess"}})


def test_a_recipe_is_shown_with_its_fields_command_and_file(hooks):
    text = (
        "# tiny: the smallest\n#\n# Paper:    none\n#           at all\n"
        "# Measured: all\n# By:       three\n# Command:  one; two\nmodel: {}\n"
    )
    part = hooks.section("tiny", text)
    assert part.startswith(
        "## tiny\n\nthe smallest.\n\n- **Paper:** none at all\n- **Measured:** all, by `three`\n"
    )
    assert "```bash\none\ntwo\n```" in part
    assert part.endswith("    model: {}\n    ```\n")
