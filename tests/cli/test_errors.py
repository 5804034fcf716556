# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""What a configuration is told before anything is made of it: plain data and signatures are enough."""

from argparse import ArgumentError
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.loggers import Logger

from recurlight import AdamATan2, GradientTruncation, Halting, ImplicitGradient, RecursiveModule
from recurlight.checkpoints.trust import Trust
from recurlight.cli.explain import types
from recurlight.cli.explain.blame import blame
from recurlight.cli.explain.check import Check, UsageError
from recurlight.data import AdditionData, PuzzleData, TableData  # named below, and known once imported
from recurlight.spec.names import Setting

from .fixtures import cache, failure, folder

TRUST = Trust(["lightning.pytorch"])
ADVICE = "set each, or name a recipe that does (--config NAME, see: recurlight recipes list)"


class Matching(Protocol):
    """What parts may have in common without a base; whether they have, jsonargparse judges."""

    def __call__(self) -> int: ...


class NeedsSize(Callback):
    """Takes a size, called as the one that links a model to its data."""

    def __init__(self, seq_len: int) -> None: ...


def told(hint, value, default=types.REQUIRED, elsewhere=None):
    """Return what is wrong with the value of a setting `a`; an empty text for nothing."""
    check = Check(TRUST, elsewhere or {})
    try:
        check.value(value, Setting(hint, default), ("a",))
        check.finish()
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("hint", "values"),
    [
        (int, [3, "3", "-1"]),
        (float, [3, 0.5, "1e-3", ".nan"]),
        (bool, [True, "false", "yes"]),
        (str, ["x", "3", "null", "{"]),
        (str | None, [None, "3"]),
        (Literal[4, "a"], [4, "4", "a"]),
        (list[int], [[], [1, "2"], "[1, 2]"]),
        (list[str] | list[int] | None, [["", "a"], [2, 81], "[2, 81]", None]),
        (tuple[float, float | torch.Tensor], [[0.9, 0.95], "[0.9, 1]"]),
        (dict[str, int], [{}, {"a": "1"}, "{a: 1}"]),
        (dict[int, int], [{3: 4}, {"3": 4}]),
        (Any, [None, 3, {"a": [1]}]),
        (Path, ["x", 3]),  # judged by jsonargparse, as is all that is no plain data
        (Callable | None, ["torch.nn.functional.gelu", None]),
        (Halting, ["FixedHalting", {"class_path": "recurlight.FixedHalting"}, "{class_path: FixedHalting}"]),
        (Halting | None, [None, {"class_path": "FixedHalting", "init_args": None}]),
        (list[Callback] | Callback | None, [[], "ModelSummary", ["ModelSummary", {"class_path": "Timer"}]]),
        (Callable | str | None, ["os.abort", "runs.x"]),
        (Matching, ["mine.Part", {"class_path": "mine.Part"}]),
        (OptimizerCallable, ["{class_path: torch.optim.SGD, init_args: {lr: 1}}"]),
        (OptimizerCallable, ["AdamW", {"class_path": "AdamATan2", "init_args": {"lr": "1e-3"}}]),
        (LRSchedulerCallable | None, [None, {"class_path": "StepLR", "init_args": {"step_size": 3}}]),
        (LRSchedulerCallable, ["ReduceLROnPlateau"]),  # two of that name
        (ImplicitGradient, [{"solver": {"tolerance": 0.1}}, {"solver": "PicardSolver"}]),
        (Callback, [{"class_path": "ModelCheckpoint", "init_args": {"train_time_interval": "0:10:00"}}]),
        (Callback, [{"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.5, "multi_avg_fn": None}}]),
        (PuzzleData, [{"class_path": "AdditionData", "init_args": {"batch_size": 4}}]),
    ],
)
def test_what_is_right_passes(hint, values):
    """Fails if something is refused that jsonargparse takes."""
    assert [told(hint, value) for value in values] == [""] * len(values)


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (int, "abc", "a: expected a whole number, got 'abc'"),
        (int, True, "a: expected a whole number, got true"),
        (int, None, "a: expected a whole number, got null"),
        (int, "null", "a: expected a whole number, got 'null'"),
        (int | None, 1.5, "a: expected a whole number or null, got 1.5"),
        (float, "x", "a: expected a finite number, got 'x'"),
        (bool, 1, "a: expected True or False, got 1"),
        (str, 3, "a: expected text, got 3"),
        (Literal[4, 6] | None, 5, "a: expected 4 or 6 or null, got 5"),
        (float | torch.Tensor, "x", "a: expected a finite number or Tensor, got 'x'"),
        (list[int], 3, "a: expected a list, a whole number each, got 3"),
        (list[int], ["x"], "a: expected a whole number, got 'x'"),
        (list[str] | list[int], [2, "x"], "a: expected text, got 2"),
        (dict[str, int], [1], "a: expected a dictionary of names to a whole number, got [1]"),
        (list[dict[str, Any]], ["b"], "a: expected a dictionary of names to anything, got 'b'"),
        (dict[str, int], {"latent": "x"}, "a: expected a whole number, got 'x'"),
        (dict[str, int], {3: 1}, "a: expected text, got 3"),
        (Path, None, "a: expected an object of class Path, got null"),
    ],
)
def test_mistyped_values(hint, value, text):
    assert told(hint, value) == text


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (
            GradientTruncation,
            "LastCycle",
            "a: 'LastCycle' is not a known GradientTruncation; did you mean 'LastC",
        ),
        (
            GradientTruncation,
            "FixedHalting",
            "a: 'FixedHalting' is not a known GradientTruncation; known: EveryU",
        ),
        (
            GradientTruncation,
            "recurlight.FixedHalting",
            "a: recurlight.FixedHalting is no GradientTruncation; kn",
        ),
        (
            GradientTruncation,
            "recurlight.LastCycle",
            "a: recurlight has no 'LastCycle'; did you mean 'LastCycles'?",
        ),
        (
            GradientTruncation,
            "GradientTruncation",
            "a: GradientTruncation is abstract; known: EveryUpdate, ",
        ),
        (GradientTruncation, 3, "a: expected GradientTruncation, got 3; known: EveryUpdate, "),
        (GradientTruncation, None, "a: expected GradientTruncation, got null; known: EveryUpdate, "),
        (GradientTruncation, "{", "a: '{' is not a known GradientTruncation; known: EveryUpdate, "),
        (
            GradientTruncation,
            "mine.A",
            "a: there is no module 'mine' for mine.A, neither installed nor in the cur",
        ),
        (
            GradientTruncation,
            "os.system",
            "a: 'os.system' was not imported, for a file must not choose which code",
        ),
        (
            Callable | None,
            "os.abort",
            "a: 'os.abort' was not imported, for a file must not choose which code",
        ),
        (OptimizerCallable, "AdmW", "a: 'AdmW' is not a known Optimizer; did you mean 'AdamW'?"),
        (
            OptimizerCallable,
            "recurlight.MixerCell",
            "a: recurlight.MixerCell is no Optimizer; known: AdamATan2, ",
        ),
        (
            OptimizerCallable,
            None,
            "a: expected Optimizer, got null; known: AdamATan2, ",
        ),
        (Logger | bool | None, "CSVLoggr", "a: 'CSVLoggr' is not a known Logger; did you mean 'CSVLogger'?"),
        (
            list[Callback] | None,
            ["EMAWeightAverging"],
            "a: 'EMAWeightAverging' is not a known Callback; did you",
        ),
    ],
)
def test_wrong_classes(hint, value, text):
    """Fails if a class is not known, may not be imported, or belongs to another axis, and passes."""
    assert told(hint, value).startswith(text)


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (
            GradientTruncation,
            {"class_path": "LastCycles", "init_args": {"cuont": 3}},
            "a.cuont: LastCycles has no setting 'cuont'; did you mean 'count'?",
        ),
        (
            GradientTruncation,
            {"class_path": "LastCycles", "count": 3},
            "a: 'count' stands beside class_path; its arguments belong under init_args",
        ),
        (
            GradientTruncation,
            {"class_path": "LastCycles", "init_args": [3]},
            "a: init_args must hold settings, found [3]",
        ),
        (
            ImplicitGradient,
            {"solver": {"class_path": "PicardSolver", "init_args": {"tolernce": 1}}},
            "a.solver.tolernce: PicardSolver has no setting 'tolernce'; did you mean 'tolerance'?",
        ),
        (
            ImplicitGradient,
            {"solver": {"damping": "x"}},
            "a.solver.damping: expected a finite number, got 'x'",
        ),
        (
            OptimizerCallable,
            {"class_path": "AdamATan2", "init_args": {"llr": 1}},
            "a.llr: AdamATan2 has no setting 'llr'; did you mean 'lr'?",
        ),
        (
            list[Callback],
            [{"class_path": "EMAWeightAveraging", "init_args": {"deca": 1}}],  # it takes **kwargs
            "a.deca: EMAWeightAveraging has no setting 'deca'; did you mean 'decay'?",
        ),
        (
            PuzzleData,
            {"class_path": "AdditionData", "init_args": {"batch_sizee": 1}},  # it passes **settings on
            "a.batch_sizee: AdditionData has no setting 'batch_sizee'; did you mean 'batch_size'?",
        ),
        (
            RecursiveModule,
            {"widht": 3},
            "a.widht: RecursiveModule has no setting 'widht'; did you mean 'width'?",
        ),
        (RecursiveModule, {3: 3}, "a.3: RecursiveModule has no setting 3; known: vocab_size, "),
        (
            Trainer,
            {"logger.x": 3},
            "a.logger.x: Trainer has no setting 'logger.x': write it as two levels, logger: and below it x:",
        ),
        (Halting, {"bias": 1}, "missing: a.class_path; known: ConvergenceHalting, "),
        (Callback, {"decay": 1}, "missing: a.class_path; known: "),
        (LRSchedulerCallable, {"step_size": 1}, "missing: a.class_path; known: LinearWarmup, "),
        (LRSchedulerCallable, "StepLR", f"missing: a.step_size; {ADVICE}"),
        (PuzzleData, {"class_path": "TableData"}, f"missing: a.path; {ADVICE}"),
    ],
)
def test_wrong_and_missing_settings(hint, value, text):
    assert told(hint, value).startswith(text)


def test_links_and_defaults_in_a_place_count():
    """Fails if a setting that follows from another can be set, or has to be."""
    linked = {("a", name): f"data.{name}" for name in ("vocab_size", "seq_len")}
    model = {"truncation": "LastCycles", "halting": "FixedHalting"}
    assert told(RecursiveModule, model, elsewhere=linked) == f"missing: a.refiner; {ADVICE}"
    text = told(RecursiveModule, {**model, "seq_len": 3}, elsewhere=linked)
    assert text == "a.seq_len: this follows from data.seq_len: leave it out"
    assert told(list[Callback], ["NeedsSize"], elsewhere={("model", "seq_len"): "data.seq_len"}).startswith(
        "missing"
    )
    assert told(Logger, "CSVLogger") == f"missing: a.save_dir; {ADVICE}"
    assert told(Logger, "CSVLogger", elsewhere={("a", "save_dir"): ""}) == ""


def test_null_is_right_where_it_is_the_default():
    """Fails if a setting whose hint forgets the null of its default is refused."""
    assert told(int, None, default=None) == ""


def test_a_known_class_is_remembered_with_its_place():
    """Fails if an error of its constructor cannot be placed."""
    check = Check(TRUST, {})
    check.value(["ModelCheckpoint", "EMAWeightAveraging"], Setting(list[Callback]), ("trainer", "callbacks"))
    assert check.places == dict.fromkeys((ModelCheckpoint, EMAWeightAveraging), ("trainer", "callbacks"))
    check.value("AdamATan2", Setting(OptimizerCallable), ("model", "optimizer"))
    assert check.places[AdamATan2] == ("model", "optimizer")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            'Parser key "a.b":\n  Problem with given class_path X:\n    Parser key "d":\n      unheard of',
            "a.b.d: unheard of",
        ),
        ("Subcommand 'fit' does not accept option 'x'", "Subcommand 'fit' does not accept option 'x'"),
        (
            'Parser key "a":\n  Does not validate against any of the Union subtypes\n  Errors:\n    - told\n'
            "    - Expected a <class 'NoneType'>\n  Given value type: <class 'str'>\n  Given value: x",
            "a: told",
        ),
        ("some text. Got value: x", "some text"),
    ],
)
def test_other_messages_are_cut_to_the_line_that_tells(message, line):
    """Fails if advice about jsonargparse itself is shown, or nothing."""
    assert str(blame(ArgumentError(None, message), {}, [], bool)) == line


def test_a_flag_without_value_and_a_word_that_is_no_flag(capsys):
    assert failure(capsys, "fit", "--config", "tiny", "--model.width") == "--model.width needs a value"
    text = failure(capsys, "fit", "--config", "tiny", "foo")
    assert text == (
        "'foo' is not expected here: settings are written --key value, a recipe or file --config NAME"
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--max_steps", "3"],
            "max_steps: recurlight fit has no setting 'max_steps'; did you mean 'trainer.",
        ),
        (["--size", "3"], "size: recurlight fit has no setting 'size'; did you mean 'data.size'?"),
        (["--depth", "3"], "depth: recurlight fit has no setting 'depth'; known: "),
        (["--modle.width", "3"], "modle: recurlight fit has no setting 'modle'; did you mean 'model'?"),
        (
            ["--model.refiner.latent_steps", "x"],
            "model.refiner.latent_steps: expected a whole number, got 'x'",
        ),
        (
            ["--model.refiner.init_args.latent.layers", "x"],
            "model.refiner.latent.layers: expected a whole number, got 'x'",
        ),
        (
            ["--trainer.callbacks+=ModelSummry"],
            "trainer.callbacks: 'ModelSummry' is not a known Callback; did you",
        ),
        (
            ["--trainer.callbacks+=ModelSummary", "--trainer.callbacks.max_depht", "2"],
            "trainer.callbacks.max_depht: ModelSummary has no setting 'max_depht'; did you mean 'max_depth'?",
        ),
        (
            ["--model.optimizer", "AdamW", "--model.optimizer.lrr", "1"],
            "model.optimizer.lrr: AdamW has no setting",
        ),
        (["--trainer", "3"], "trainer: expected Trainer, got '3'"),
        (["--model.width", "wide", "--print_config"], "model.width: expected a whole number, got 'wide'"),
    ],
)
def test_flags_are_checked_as_files_are(capsys, words, text):
    """Fails if a way to write a flag leads past the check."""
    assert failure(capsys, "fit", "--config", "tiny", *words).startswith(text)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("model: {width: x}", "over.yaml: model.width: "),
        ("trainer: {callbacks: [Timr]}", "over.yaml: trainer.callbacks: "),
        ("trainer: {callbacks+: {class_path: Timer, init_args: {x: 1}}}", "over.yaml: trainer.callbacks.x: "),
    ],
)
def test_the_file_is_named_that_set_it_last(folder, capsys, text, start):
    """Fails if a setting of a list or of `key+` is not found in its file, or a flag's is."""
    (folder / "over.yaml").write_text(text)
    arguments = ["fit", "--config", "tiny", "--config", "over.yaml"]
    assert failure(capsys, *arguments).startswith(start)
    assert failure(capsys, *arguments, "--model.width", "y").startswith(
        "model.width: expected a whole number, got 'y'"
    )
