# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Whatever is wrong with a recipe, the answer is one line that says where, and no traceback."""

import copy
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.config import read
from recurlight.cli.merge import overlay

from .fixtures import TINY, cache, folder

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SMALL = read(RECIPES / "small.yaml")
WHOLE = {
    path.stem: overlay(read(path), SMALL)
    for path in sorted(RECIPES.glob("*.yaml"))
    if path.stem != "small" and "backbone" not in read(path)["model"]  # whose file is not there
}
BOUNDED = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a quarter of a second each: shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

WORDS = ["LastCycles", "torch.nn.Tanh", "AdamW", "os.system", "recurlight", "a.b.c", "{", "1e-3", "~"]
CLASSES = [{"class_path": name} for name in ("FixedHalting", "SudokuData", "torch.nn.Tanh", 3, "a b", "")]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([0.5, -1.5, float("nan"), float("inf"), 10**30]),
    st.text(max_size=8),
    st.sampled_from(WORDS),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.text("abc_.", min_size=1, max_size=4), st.integers(0, 3), max_size=2),
    st.sampled_from(CLASSES),
    st.sampled_from([{"init_args": args} for args in (None, 3, {"a": 1}, [])]),
)


def places(node, path=()):
    """All keys of a tree, as paths."""
    found = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        found += [(*path, key), *places(inner, (*path, key))]
    return found


@st.composite
def mutations(draw):
    """A recipe with one thing wrong (or still right), and words of which an error must use one."""
    config = copy.deepcopy(WHOLE[draw(st.sampled_from(sorted(WHOLE)))])
    *way, key = draw(st.sampled_from(places(config)))
    holder = config
    for part in way:
        holder = holder[part]
    names = {str(part) for part in (*way, key)} - {"class_path", "init_args"}
    match draw(st.sampled_from(["value", "value", "rename", "delete", "nest", "move"])):
        case "value":
            holder[key] = draw(VALUES)
        case "nest":
            holder[key] = draw(st.sampled_from([lambda x: [x], lambda x: {"inner": x}, lambda x: {key: x}]))(
                holder[key]
            )
        case "delete":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            holder[draw(st.sampled_from([f"{key}x", str(key)[1:], "", f"{key}.{key}", 3]))] = holder.pop(key)
        case _:
            config[str(key)] = holder[key]
            names = {str(key)}
    return yaml.safe_dump(config, sort_keys=False), names


def outcome(text, folder, *first):
    """Run the command line up to the objects of the run; return its status and what it said."""
    (folder / "mutant.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["fit", *first, "--config", "mutant.yaml", "--trainer.accelerator", "cpu"])
    lines = [line for line in err.getvalue().splitlines() if line.startswith("recurlight: error: ")]
    assert len(lines) == (status == 2)
    if lines:
        assert err.getvalue().splitlines()[-1:] == lines
    return status, "".join(lines)


@pytest.fixture
def composing(monkeypatch, folder):
    """A command line that makes its parser once and stops before it runs."""
    first = []

    def setup_parser(self):
        if not first:
            setup(self)
            first.append(self)
        for name in ("parser", "taken"):
            setattr(self, name, getattr(first[0], name))

    setup = RecurlightCLI.setup_parser
    monkeypatch.setattr(RecurlightCLI, "setup_parser", setup_parser)
    monkeypatch.setattr(RecurlightCLI, "_run_subcommand", lambda self, subcommand: None)
    monkeypatch.setattr("recurlight.cli.app.recipes_dir", lambda: RECIPES)
    return folder


@st.composite
def damages(draw):
    """The text of a recipe with some of it lost, repeated or replaced by noise."""
    text = yaml.safe_dump(WHOLE[draw(st.sampled_from(sorted(WHOLE)))], sort_keys=False)
    at = draw(st.integers(0, len(text)))
    end = min(len(text), at + draw(st.sampled_from([0, 1, 5, 40, 200])))
    noise = st.text(st.sampled_from("\t\n :-[]{}&*!|>'\"#%@`,?~0.\x00\x1b\u2028\ud800é"), max_size=4)
    tags = st.sampled_from(
        ["!!python/object/apply:os.abort []", "&a [*a]", "<<: *a", "!!binary x", "2020-13-45"]
    )
    put = draw(st.one_of(noise, tags, st.just(text[at:end] * 2), st.just("[" * 2000), st.just("\n---\n")))
    return text[:at] + put + text[end:]


@BOUNDED
@given(mutations())
def test_a_recipe_with_something_wrong_names_the_place(composing, mutation):
    """Fails without `Check` or `blame`: each leaves tracebacks."""
    text, names = mutation
    status, line = outcome(text, composing)
    assert status == 0 or any(name in line for name in names) or "missing: " in line


@BOUNDED
@given(damages())
def test_a_damaged_text_names_the_file(composing, text):
    """Fails if an error of the YAML parser passes, or if a key that is set twice is taken once."""
    status, line = outcome(text, composing)
    assert status == 0 or any(place in line for place in ("mutant.yaml", "missing: ", "model.", "data."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {width: 3, width: 4}", "mutant.yaml, line 1: 'width' is set twice"),
        ("model: &a {x: *a}", "mutant.yaml, line 1: an alias refers to what it is part of"),
        (
            "model.width: 3",
            "has no setting 'model.width': write it as two levels, model: and below it width:",
        ),
        ("model: {3: 4}", "mutant.yaml: model.3: RecursiveModule has no setting 3; known: "),
        ("model: {halting: {class_path: [x]}}", "model.halting: ['x'] is not a known Halting; known: "),
        ("model: {halting: {class_path: X, tolerance: 1}}", "'tolerance' stands beside class_path; its arg"),
        ("model: {halting: {class_path: X, init_args: 3}}", "init_args must hold settings, found 3"),
        ("model: {cycles: null}", "model.cycles: expected a whole number, got null"),
        (
            "model: {optimizer: {init_args: {lr: null}}}",
            "model.optimizer.lr: expected a finite number, got null",
        ),
        (
            "trainer: {callbacks: [{init_args: {decay: 1}}]}",
            "missing: trainer.callbacks.class_path; known: ",
        ),
        (
            "model: {scheduler: 3}",
            "model.scheduler: expected LRScheduler or ReduceLROnPlateau or null, got 3; known: Linear",
        ),
        (
            "model: {decoder: {}}",
            "missing: model.decoder.class_path; known: ContinuousDecoder, DeepDecoder, HeadDecoder",
        ),
        (
            "model: {truncation: {class_path: LastPerLevel, init_args: {counts: {3: 1}}}}",
            "mutant.yaml: model.truncation.counts: expected text, got 3",
        ),
        ("model: {vocab_size: 3}", "mutant.yaml: model.vocab_size: this follows from data.vocab_size: leave"),
        ("model: 3", "mutant.yaml: model: expected RecursiveModule, got 3"),
        ("model: {inner: {width: 3}}", "model.inner: RecursiveModule has no setting 'inner'"),
        ("trainer: {max_steps: -5}", "trainer.max_steps: `max_steps` must be a non-negative integer or -1"),
        ("trainer: {devices: 0}", "trainer.devices: `Trainer(devices=0)` value is not a valid input"),
        (
            "trainer: {callbacks: [{class_path: EMAWeightAveraging, init_args: {decay: -1.0}}]}",
            "trainer.callbacks.decay: EMAWeightAveraging: Invalid decay value -1.0 provided",
        ),
        ("ckpt_path: 3", "--ckpt_path 3: there is no such file"),
    ],
)
def test_mistakes_that_the_search_has_found(composing, text, message):
    """Fails if one of these ends in a traceback again, as each once did."""
    status, line = outcome(text, composing, "--config", "trm_sudoku", "--config", "small")
    assert status == 2
    assert message in line


def test_arguments_without_a_class_are_told_so(composing):
    """Fails if the name that jsonargparse tries is shown, `typing.Union`."""
    config = yaml.safe_load(TINY)
    config["model"]["scheduler"] = {"init_args": {"warmup": 1}}
    line = outcome(yaml.safe_dump(config), composing)[1]
    assert "missing: model.scheduler.class_path; known: LinearWarmup, " in line


def test_init_args_whose_lines_are_commented_out_are_none(composing):
    """Fails if `init_args:` without a value is an error."""
    text = "model: {halting: {class_path: FixedHalting, init_args: }}"
    assert outcome(text, composing, "--config", "trm_sudoku", "--config", "small")[0] == 0


def test_errors_of_recurlight_itself_keep_their_traceback(composing, monkeypatch):
    """Fails if `blame` takes every error for the user's."""

    def broken(*arguments, **settings):
        raise TypeError("a bug")

    monkeypatch.setattr("recurlight.training.module.Recursion", broken)
    with pytest.raises(TypeError, match="a bug"):
        outcome("{}", composing, "--config", "trm_sudoku", "--config", "small")
