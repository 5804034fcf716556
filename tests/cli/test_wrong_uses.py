# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""What people type by mistake: one line says what is wrong and what to type instead, and nothing is lost."""

import contextlib
import re

import pytest

from recurlight.__main__ import main

from .fixtures import cache, folder, trained

FILES = {
    "syntax.yaml": "model:\n  width: [8\n  cycles: 2\n",
    "tabs.yaml": "model:\n\twidth: 8\n",
    "hydra.yaml": "model: {_target_: models.TRM, hidden_size: 512}\n",
    "published.yaml": "arch: {name: trm, H_cycles: 3}\nglobal_batch_size: 768\n",
    "mapping.yaml": "trainer: {limit_val_batches: {share: 0.5}}\n",
    "utf16.yaml": "model: {width: 8}\n",
    "list.yaml": "model: {optimizer: [AdamATan2, AdamW]}\n",
    "other.yaml": "data: {class_path: AdditionData}\n",
    "puzzles.txt": "1...............\n12..\n",
    "no.ckpt": "these are no weights",
}
FIT = ("fit", "--config", "tiny")
CKPT = ("--ckpt_path", "TRAINED")

USES = [
    # names
    (("train", "--config", "tiny"), "'train' is not a command; did you mean 'fit'?"),
    (("--config", "tiny", "fit"), "the command comes first: recurlight fit --config ..."),
    (
        ("fit", "--config", "tniy"),
        "--config tniy is neither a file nor a recipe; did you mean 'tiny'? see: .*",
    ),
    (("fit", "tiny"), "'tiny' is not expected here: settings are .* a recipe or file --config NAME"),
    (("fit", "--cfg", "tiny"), "cfg: recurlight fit has no setting 'cfg'; did you mean 'config'?"),
    (("fit",), "missing: model.refiner, .*, data; set each, or name a recipe .* recurlight recipes list.*"),
    ((*FIT, "--model.widht", "8"), "model.widht: RecursiveModule .* did you mean 'width'?"),
    ((*FIT, "--max_epochs", "3"), "max_epochs: .* did you mean 'trainer.max_epochs'?"),
    ((*FIT, "--epochs", "3"), "epochs: .* did you mean 'trainer.max_epochs'?"),
    ((*FIT, "--size", "6"), "size: .* did you mean 'data.size'?"),
    (
        (*FIT, "--model.halting", "CorectnessHalting"),
        ".* no.* known Halting; did you mean 'CorrectnessHalting'?",
    ),
    ((*FIT, "--index", "3"), "index: recurlight fit has no setting 'index'; known: model, data, trainer.*"),
    # values
    ((*FIT, "--model.width", "wide"), "model.width: expected a whole number, got 'wide'"),
    ((*FIT, "--model.width", "-8"), "width is -8: set model.width to 1 or more"),
    ((*FIT, "--model.refiner.latent.heads", "3"), "model.refiner.*heads.*"),
    ((*FIT, "--data.batch_size", "-4"), "batch_size is -4: set data.batch_size to 1 or more"),
    ((*FIT, "--data.size", "7"), "data.size: expected 4 or 6 or 9 or 16, got '7'"),
    ((*FIT, "--trainer.accelerator", "gqu"), "trainer.accelerator: .*'gqu'.* cpu.*"),
    # files
    (("fit", "--config", "syntax.yaml"), "syntax.yaml, line 3: not valid YAML, .*"),
    (("fit", "--config", "tabs.yaml"), "tabs.yaml, line 2: not valid YAML, a tab where it wants spaces"),
    ((*FIT, "--config", "hydra.yaml"), "hydra.yaml: model._target_: .* a class is named by class_path, .*"),
    (
        ("fit", "--config", "published.yaml"),
        "published.yaml: arch: recurlight fit has no setting 'arch'; known: .*",
    ),
    (
        (*FIT, "--config", "mapping.yaml"),
        "mapping.yaml: trainer.limit_val_batches: expected .* number.*, got {.*",
    ),
    (
        (*FIT, "--config", "list.yaml"),
        "list.yaml: model.optimizer: expected Optimizer, got \\['AdamATan2', .*",
    ),
    (("fit", "--config", "TRAINED"), ".* is no text: a checkpoint is named by --ckpt_path .*"),
    (("fit", "--config", "utf16.yaml"), "utf16.yaml is no UTF-8 text: save it as UTF-8"),
    (("completion", "bash", "zsh"), "'zsh' is not expected here: recurlight completion bash"),
    (("fit", "--config", "recipes"), "--config recipes is a folder: name a YAML file or a recipe in it"),
    (
        ("fit", "--config", "averaged"),
        "--config averaged changes a recipe .* --config RECIPE --config averaged.*",
    ),
    # checkpoints
    (("test", "--ckpt", "TRAINED"), "ckpt: recurlight test has no setting 'ckpt'; did you mean 'ckpt_path'?"),
    (("test", "--ckpt_path", "FOLDER"), ".*this is a folder; name a file, such as .*last.ckpt"),
    (("solve", "--ckpt_path", "FOLDER", "1"), ".*this is a folder; name a file, such as .*last.ckpt"),
    (("solve", "--ckpt_path", "on.ckpt", "1"), "on.ckpt: there is no such file; did you mean 'no.ckpt'?"),
    (("solve", "--ckpt_path", "no.ckpt", "1"), "no.ckpt: damaged, or no checkpoint"),
    (("test", *CKPT, "--config", "other.yaml"), ".*the checkpoint is of another .*; give the config .*"),
    (
        ("solve", "TRAINED", "1..............."),
        "solve asks a trained model: give its checkpoint, --ckpt_path FILE",
    ),
    # questions
    (("solve", *CKPT, "123"), "the question has 3 symbols: give 16, 4 rows of 4"),
    (("solve", *CKPT, "9..............."), "the question has the character '9' at place 1; known are .*"),
    (
        ("solve", *CKPT, "--file", "puzzles.txt"),
        "puzzles.txt, line 2: the question has 4 symbols: give 16, .*",
    ),
    (("solve", *CKPT, "--file", "."), "--file .: this is a folder; name a text, CSV or JSON-lines file .*"),
    (
        ("solve", *CKPT, "--segmnts", "3", "1"),
        "'--segmnts' is not .*; did you mean '--segments'? see: .* --help",
    ),
    (("trace", *CKPT, "--idx", "3"), "idx: recurlight trace has no setting 'idx'; did you mean 'index'?"),
    (("trace", *CKPT, "--index", "400"), "--index 400 is no test puzzle: give from 0 to 3"),
    (("trace", *CKPT, "--out", "x.pdf"), "--out x.pdf has no name of such a file: end it in .html"),
    (
        ("test", *CKPT, "--search.widht", "2"),
        "search.widht: Search has no setting 'widht'; did you mean 'width'?",
    ),
    (("check", "--config", "tiny", "--smaples", "2"), "smaples: .* did you mean 'samples'?"),
    (("calibrate", *CKPT, "--loss", "1%"), "argument --loss: invalid float value: '1%'; see: .* --help"),
    (("calibrate", *CKPT, "--loss", "-1"), "calibrate got loss=-1.0: give more than 0 and at most 0.5"),
    (("predict", *CKPT, "--confidence", "95"), ".*confidence=95.0: give 0 or more and at most 1"),
    (("predict", *CKPT, "--confidnce", "0.9"), "confidnce: .* did you mean 'confidence'?"),
    # places to write to
    (
        ("recipes", "copy", "quickstart", "/proc/x.yaml"),
        "/proc/x.yaml cannot be written .*: name another file, .*",
    ),
    (("predict", *CKPT, "--output", "/proc/x.jsonl"), "/proc/x.jsonl cannot be written .*: give --output .*"),
    (("predict", *CKPT, "--output", "gone/x.jsonl"), "the folder gone does not exist: make it first"),
    (
        ("trace", *CKPT, "--out", "/proc/x.html"),
        "/proc/x.html cannot be written .*: give another name, --out .*",
    ),
    (
        ("calibrate", *CKPT, "--output", "/proc/x.ckpt"),
        "/proc/x.ckpt cannot be written .*: give another name, .*",
    ),
    (("export", *CKPT, "--out", "/proc/x"), "/proc/x cannot be written .*: name a new folder"),
    (("doctor", *CKPT, "--picture", "x.jpg"), "--picture x.jpg has no name of such a file: end it in .png"),
    (("recipes", "shwo", "tiny"), "'shwo' is not an action on recipes; did you mean 'show'?.*"),
    (
        ("recipes", "show", "quikstart"),
        "there is no recipe 'quikstart'; did you mean 'quickstart'? see: recurlight recipes list",
    ),
]


@pytest.mark.parametrize(("words", "line"), USES, ids=[" ".join(words) for words, _ in USES])
def test_a_wrong_use_is_answered_in_one_line(words, line, trained, folder, capsys):
    """Fails if it ends in a traceback, in advice that leads nowhere, or with a file left behind."""
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-16" if name == "utf16.yaml" else "utf-8")
    stand_in = {"TRAINED": trained, "FOLDER": trained.rpartition("/checkpoints/")[0]}
    before = {*folder.rglob("*")}
    capsys.readouterr()
    assert main([stand_in.get(word, word) for word in words]) == 2
    captured = capsys.readouterr()
    told = [text for text in captured.err.splitlines() if not text.startswith(("GPU", "TPU", "Restoring"))]
    assert len(told) == 1
    assert re.fullmatch(f"recurlight: error: {line.replace('?', '[?]').replace('(', '[(]')}", told[0]), told[
        0
    ]
    assert captured.out == ""
    assert {*folder.rglob("*")} == before
