"""Texts in the tokens of the library `tokenizers`."""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recurlight import DataError, TextData, load
from recurlight.__main__ import main
from recurlight.data.text import spelling
from recurlight.rendering.tokenizer import pieces_of
from recurlight.types import Batch, Prediction

WORDS = ["to be ", "or not ", "that is ", "é", "日本", " \n", "the question"]
TEXT = "".join(random.Random(0).choices(WORDS, k=600))


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("tokenizers", reason="the library tokenizers is optional")


def byte_level(library, path: Path, size: int, text: str = TEXT) -> str:
    """A tokenizer like GPT-2's, learnt from a text, with a token that no text has."""
    found = library.Tokenizer(library.models.BPE())
    found.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|é|>"], show_progress=False
    )
    found.train_from_iterator([text], trainer)
    found.save(str(path))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text")
    (path / "text.txt").write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(library, place) -> str:
    return byte_level(library, place / "tokenizer.json", 270)


def test_tokens_are_those_of_the_library_from_1_on(library, place, made):
    """Fails if ids are shifted by another number, or special tokens are put in."""
    data = TextData(str(place / "text.txt"), length=16, tokens=made)
    expected = library.Tokenizer.from_file(made).encode(TEXT, add_special_tokens=False).ids
    assert (data.tokens - 1).tolist() == expected
    assert data.vocab_size == 271
    assert len(expected) < len(TEXT)  # it does join characters


def test_a_large_vocabulary_is_served(place, made, monkeypatch):
    """Fails if tokens beyond 65,535 wrap around, or a batch cannot be made of what holds them."""
    narrow = TextData(str(place / "text.txt"), length=16, tokens=made, batch_size=4)
    monkeypatch.setattr(spelling, "_MANY", 2)
    wide = TextData(str(place / "text.txt"), length=16, tokens=made, batch_size=4)
    assert (narrow.tokens.dtype, wide.tokens.dtype) == (np.uint16, np.uint32)
    one, other = (next(iter(data.train_dataloader())) for data in (narrow, wide))
    assert torch.equal(one.labels, other.labels)


def test_texts_are_spelled_and_said_as_they_are(place, made):
    wording = TextData(str(place / "text.txt"), length=64, tokens=made).wording()
    for text in (TEXT[:50], "€ is new\t", "<|é|>"):
        assert wording.said(wording.spelled(text)) == text
    assert wording.read("to be")[: len(wording.spelled("to be"))] == wording.spelled("to be")


def test_bits_are_shared_among_the_bytes_of_the_text(library, place, made):
    """Against the library's own spelling of the labels, which has a character for each byte."""
    data = TextData(str(place / "text.txt"), length=16, tokens=made, val_share=0.3)
    metric, rows = data.task_metric("val"), torch.tensor(data.splits.val.labels.astype(int))
    spent = torch.ones(len(rows), dtype=torch.int64)
    logits = torch.zeros(*rows.shape, data.vocab_size)
    metric.update(Batch(rows, rows, spent), Prediction(logits, spent, spent > 1, spent / 1), 1)
    known = library.Tokenizer.from_file(made)
    size = sum(len(known.id_to_token(token)) for token in (rows.flatten() - 1).tolist())
    expected = rows.numel() * math.log2(data.vocab_size) / size
    assert metric.compute()["bits_per_byte_at_1"].item() == pytest.approx(expected, rel=1e-5)


def test_another_kind_of_vocabulary_has_the_right_bytes(library, place):
    """Words of sentencepiece: a mark for the blank, and bytes by their numbers."""
    vocab = {
        "<unk>": 0,
        **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)},
        "\u2581": 257,
        "t": 258,
        "o": 259,
    }
    found = library.Tokenizer(library.models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    found.normalizer = library.normalizers.Replace(" ", "\u2581")
    found.save(str(place / "marks.json"))
    wording = TextData(str(place / "text.txt"), length=64, tokens=str(place / "marks.json")).wording()
    assert wording.spelled("to 日") == [259, 260, 258, *(byte + 2 for byte in "日".encode())]
    assert [len(text) for text in wording.texts[-3:]] == [1, 1, 1]
    assert wording.said(wording.spelled("to 日 t")) == "to 日 t"


def test_a_tokenizer_that_changes_the_text_is_refused(library, place, made):
    """Fails if bits are shared among other bytes than those of the text."""
    lossy = json.loads(Path(made).read_text())
    lossy["normalizer"] = {"type": "Lowercase"}
    (place / "lossy.json").write_text(json.dumps(lossy))
    (place / "upper.txt").write_text("abc" * 20 + "Xyz" + "abc" * 20)
    with pytest.raises(DataError, match=r"'Xyza.*' becomes 'xyza.*': take a byte-level one") as told:
        TextData(str(place / "upper.txt"), tokens=str(place / "lossy.json"))
    assert "\n" not in str(told.value)


def test_files_that_are_no_tokenizer_are_refused(library, place, made):
    text = str(place / "text.txt")
    with pytest.raises(DataError, match="is none of the library tokenizers"):
        TextData(text, tokens=text)
    with pytest.raises(DataError, match=r"leave data\.alphabet out"):
        TextData(text, tokens=made, alphabet="ab")


@pytest.mark.parametrize(
    ("model", "message"), [({"dropout": 0.5}, "draws how"), ({"vocab": {}, "merges": []}, "has no tokens")]
)
def test_files_that_cannot_divide_a_text_the_same_again_are_refused(library, place, made, model, message):
    content = json.loads(Path(made).read_text("utf-8"))
    content["model"] |= model
    content["added_tokens"] = []
    (place / "odd.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        TextData(str(place / "text.txt"), length=8, tokens=str(place / "odd.json"))


def test_a_token_that_is_not_spelled_in_bytes_stands_for_itself(library, made):
    content = json.loads(Path(made).read_text("utf-8"))
    content["model"]["vocab"]["\u4e2d"] = number = max(content["model"]["vocab"].values()) + 9
    assert pieces_of(json.dumps(content))[number] == "\u4e2d".encode().decode("latin-1")


@pytest.mark.parametrize("tokens", ["charcters", "none.json"])
def test_tokens_that_are_nothing_are_refused(place, tokens):
    with pytest.raises(DataError, match=rf"tokens is '{tokens}', which is no file .* set data\.tokens"):
        TextData(str(place / "text.txt"), tokens=tokens)


def test_a_missing_library_is_told_with_what_installs_it(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    (place / "any.json").write_text('{"version": "1.0"}')
    with pytest.raises(DataError, match=r"pip install 'recurlight\[text\]'"):
        TextData(str(place / "text.txt"), tokens=str(place / "any.json"))


RUN = """
model:
  refiner:
    class_path: SingleRefiner
    init_args: {cell: {class_path: CausalTransformerCell, init_args: {layers: 1, heads: 2}}}
  truncation: EveryUpdate
  halting: FixedHalting
  width: 16
  cycles: 1
  max_segments: 1
  optimizer: {class_path: AdamATan2, init_args: {lr: 0.02}}
data: {class_path: TextData, init_args: {path: text.txt, tokens: learnt.json, length: 16, batch_size: 16}}
trainer: {max_steps: 40, accelerator: cpu, enable_model_summary: false, enable_progress_bar: false}
"""


@pytest.fixture(scope="module")
def writer(library, tmp_path_factory):
    """A model that has learnt one sentence in tokens of a file that is gone."""
    place = tmp_path_factory.mktemp("writer")
    sentence = "日本 is a word, " * 200
    (place / "text.txt").write_text(sentence, encoding="utf-8")
    byte_level(library, place / "learnt.json", 260, sentence)
    byte_level(library, place / "same_size.json", 260, sentence.upper())
    byte_level(library, place / "larger.json", 264, sentence)
    (place / "run.yaml").write_text(RUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["fit", "--config", "run.yaml", "--seed_everything", "0"]) == 0
        (place / "learnt.json").rename(place / "moved.json")
        yield place / "runs/run/version_0/checkpoints/last.ckpt"


def test_a_checkpoint_writes_without_the_file(writer):
    pieces = list(load(writer).generate("a word, ", 8))
    assert "日本 is".startswith("".join(piece.text for piece in pieces)[:5])


@pytest.mark.parametrize("other", ["same_size.json", "larger.json"])
def test_a_tokenizer_of_another_vocabulary_is_refused(writer, capsys, other):
    """Fails if the numbers of one vocabulary are read by a model of another."""
    capsys.readouterr()
    assert main(["validate", "--ckpt_path", str(writer), "--data.tokens", other]) == 2
    said = {
        "same_size.json": "set data.tokens to the tokenizer of its training",
        "larger.json": "vocab_size is 261",
    }
    assert said[other] in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_same_tokenizer_elsewhere_is_taken(writer):
    assert main(["validate", "--ckpt_path", str(writer), "--data.tokens", "moved.json"]) == 0
