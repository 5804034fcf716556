"""Windows of a text."""

from __future__ import annotations

import argparse
import math
import random
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import causal, trainer

from recurlight import (
    CausalTransformerCell,
    DataError,
    FixedHalting,
    IncompatibleComponents,
    RecursiveModule,
    SingleRefiner,
    StablemaxCrossEntropy,
    TextData,
    TransformerCell,
)
from recurlight.data.text import BitsPerByte
from recurlight.data.text.reading import read_text
from recurlight.data.text.sources import standard_library
from recurlight.truncation import EveryUpdate
from recurlight.types import IGNORE, Batch, Prediction

TEXT = "".join(random.Random(0).choices("abc \né", k=1000))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def shown(data: TextData, rows: np.ndarray) -> list[str]:
    return [data.wording().said(row.tolist()) for row in rows]


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_windows_are_the_text_and_labels_what_comes_next(file, tokens):
    """Fails if a part overlaps another, a window skips a symbol, or labels are shifted by another number."""
    data = TextData(str(file), length=16, tokens=tokens, stride=5, val_share=0.2, test_share=0.1)
    symbols = TEXT if tokens == "characters" else TEXT.encode().decode("latin-1")
    texts = data.wording().texts
    spelled = {
        name: ["".join(texts[token] for token in row) for row in part.inputs]
        for name, part in data.splits._asdict().items()
    }
    whole = len(symbols)
    ends = {"train": (0, whole - round(whole * 0.2) - round(whole * 0.1)), "val": (0, 0), "test": (0, 0)}
    ends["val"] = (ends["train"][1], whole - round(whole * 0.1))
    ends["test"] = (ends["val"][1], whole)
    for name, (first, last) in ends.items():
        step = 5 if name == "train" else 16
        expected = [symbols[at : at + 16] for at in range(first, last - 16, step)]
        assert spelled[name] == expected
        part = getattr(data.splits, name)
        for at, row in zip(range(first, last - 16, step), part.labels, strict=True):
            assert "".join(texts[token] for token in row) == symbols[at + 1 : at + 17]


def test_characters_are_numbered_in_order_and_kept(file):
    data = TextData(str(file), length=8)
    assert data.symbols == ("\n", " ", "a", "b", "c", "é")
    assert data.vocab_size == 7
    again = TextData(str(file), length=8, alphabet="éabc \nx")
    assert again.vocab_size == 8
    assert again.splits.train.inputs[0, 0] == again.symbols.index(TEXT[0]) + 1


def test_a_prompt_is_read_as_it_is_and_written_again(file):
    """Fails if blanks or line ends are passed over, as in puzzles."""
    for tokens in ("characters", "bytes"):
        wording = TextData(str(file), length=32, tokens=tokens).wording()
        assert wording.said(wording.spelled("a \n\né b")) == "a \n\né b"
    with pytest.raises(DataError, match="the text has the character 'x' at place 2"):
        TextData(str(file), length=32).wording().spelled("ax")


def test_files_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    for name, text in (("b.py", "bb"), ("a.py", "aa"), ("deep/c.py", "cc"), ("d.txt", "dd")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text * 50)
    data = TextData(str(tmp_path), length=2, suffix=".py")
    assert data.symbols == ("a", "b", "c")
    assert data.tokens.tolist() == [1] * 100 + [2] * 100 + [3] * 100


def test_the_standard_library_is_a_text():
    """Fails if it begins elsewhere, tests are in it, or what is installed beside it."""
    whole = read_text(None, ".txt")
    assert whole.startswith((Path(sysconfig.get_path("stdlib")) / "__future__.py").read_text("utf-8"))
    assert Path(argparse.__file__).read_text("utf-8") in whole
    root = sysconfig.get_path("stdlib")
    names = [path.relative_to(root).as_posix() for path in standard_library()]
    assert names == sorted(names)
    assert {"argparse.py", "json/decoder.py"} <= {*names}
    assert not [name for name in names if {"test", "tests", "site-packages"} & {*name.split("/")}]
    data = TextData(None, length=8, limit=3000)
    assert len(data.tokens) == 3000
    assert data.wording().said(data.tokens.tolist()) == whole[:3000]


def test_a_python_without_sources_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(DataError, match=r"no sources of its standard library in .*: set data\.path"):
        TextData(None)


def test_a_limit_takes_the_start_of_a_text(file):
    """Fails if files behind the limit are read, which may be many."""
    (file.parent / "z.txt").write_bytes(b"\xff")
    behind = TextData(str(file.parent), length=8, limit=500)
    assert behind.wording().said(behind.tokens.tolist()) == TEXT[:500]
    data = TextData(str(file), length=8, limit=500)
    assert data.wording().said(data.tokens.tolist()) == TEXT[:500]
    with pytest.raises(DataError, match=r"limit is 0: set data\.limit"):
        TextData(str(file), limit=0)


def test_bits_are_those_of_the_formula():
    """Against the sum over tokens, with an unsupervised one and a character of two bytes."""
    generator = torch.Generator().manual_seed(0)
    sizes, labels = [0, 1, 2], torch.tensor([[1, 2, IGNORE], [2, 2, 1]])
    metric, bits, spent = BitsPerByte(sizes), 0.0, torch.ones(2, dtype=torch.int64)
    for _ in range(2):
        logits = torch.randn(2, 3, 3, generator=generator)
        metric.update(Batch(labels, labels, spent), Prediction(logits, spent, spent > 1, spent / 1), 1)
        for row in range(2):
            for place in range(3):
                if labels[row, place] != IGNORE:
                    odds = logits[row, place].double().exp()
                    bits -= math.log2(odds[labels[row, place]] / odds.sum())
    found = metric.compute()
    assert found["bits_per_byte_at_1"].item() == pytest.approx(bits / 16, rel=1e-5)
    assert found["bits_per_token_at_1"].item() == pytest.approx(bits / 10, rel=1e-5)
    _, head, *lines = metric.table().splitlines()
    assert [len(line) for line in lines] == [len(head)] * 2, "figures stand under their numbers of segments"
    assert lines[1].endswith(f" {2 ** (bits / 10):.3f}")


def test_the_table_speaks_of_text(file, capsys):
    """Fails if it tells exact accuracy, which is 0, counts puzzles, or its columns do not meet."""
    data = TextData(str(file), length=8, batch_size=2, eval_batch_size=8)
    parts = {"refiner": SingleRefiner(causal()), "truncation": EveryUpdate(), "halting": FixedHalting()}
    model = RecursiveModule.for_data(data, **parts, width=16, cycles=1, max_segments=2)
    trainer().validate(model, data, verbose=False)
    title, head, bits, words, mark, _ = capsys.readouterr().out.strip().splitlines()
    assert title == "text after segments"
    assert len(head) == len(bits) == len(words)
    assert (head.split(), bits[:14].strip(), words[:14].strip()) == (
        ["segments", "1", "2"],
        "bits per byte",
        "perplexity",
    )
    assert mark.startswith(f"val: {len(data.splits.val.inputs)} windows, data ")
    assert "val/exact_at_2" in {*model.trainer.callback_metrics}  # kept, for who wants it


def bad(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (b"", {}, "has no text: give a file that is not empty"),
        (b"ab\n\xff", {}, "row 2, is not UTF-8"),
        (b"abc", {}, r"the text has 3 symbols, of which 3 are for train, and a window takes 9"),
        (
            b"ab" * 50,
            {"alphabet": "a"},
            "has the character 'b', which is none of the 1 symbols of data.alphabet",
        ),
        (
            b"ab" * 50,
            {"val_share": 0.06},
            r"of which 6 are for val, .* longer text, raise data\.val_share, or lower",
        ),
        (b"ab" * 50, {"length": 0}, "length is 0"),
        (b"ab" * 50, {"stride": 0}, "stride 0"),
        (b"ab" * 50, {"val_share": 0.6, "test_share": 0.4}, "give shares whose sum is below 1"),
    ],
)
def test_a_text_that_cannot_be_learnt_from_is_refused(tmp_path, content, settings, says):
    with pytest.raises(DataError, match=says):
        _ = TextData(bad(tmp_path / "x.txt", content), **{"length": 8, **settings}).splits


def test_a_place_without_text_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"set data\.path to a text file, or a folder of them"):
        TextData(str(tmp_path / "none.txt"))
    with pytest.raises(DataError, match=r"no file in .* ends in \.txt: set data\.suffix"):
        TextData(str(tmp_path))


def model_of(data: TextData, cell: torch.nn.Module) -> RecursiveModule:
    parts = {"refiner": SingleRefiner(cell), "truncation": EveryUpdate(), "halting": FixedHalting()}
    return RecursiveModule.for_data(data, width=16, cycles=1, max_segments=1, **parts)


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_a_model_that_would_copy_the_next_token_is_refused(file, stage):
    data = TextData(str(file), length=8, batch_size=4)
    with pytest.raises(IncompatibleComponents, match="sees the tokens after a position"):
        getattr(trainer(max_steps=1), stage)(model_of(data, TransformerCell(layers=1, heads=2)), data)


def test_bits_are_those_of_the_loss_that_the_model_learns_by(file):
    data = TextData(str(file), length=8, batch_size=4)
    model = model_of(data, CausalTransformerCell(layers=1, heads=2))
    assert type(model.loss) is StablemaxCrossEntropy
    (figures,) = trainer().validate(model, data, verbose=False)
    assert figures["val/bits_per_token_at_1"] == pytest.approx(figures["val/loss"] / math.log(2), rel=1e-5)


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_a_prompt_that_is_no_unicode_is_told_in_a_line(file, tokens):
    with pytest.raises(DataError, match="no UTF-8 at place 2"):
        TextData(str(file), length=8, tokens=tokens).wording().spelled("a\udce9")
