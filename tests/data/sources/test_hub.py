from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from recurlight.data import SudokuData
from recurlight.data.sources.hub import download
from recurlight.data.sudoku.generate import make_puzzle
from recurlight.errors import DataError


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    return tmp_path


def test_files_are_downloaded_once_and_read(monkeypatch):
    calls = []

    def fetch(repository, name, *, repo_type, local_dir):
        calls.append((repository, name, repo_type))
        local_dir.mkdir(parents=True, exist_ok=True)
        first = 0 if name == "train.csv" else 3
        rows = [",".join(("made", *make_puzzle(9, 0, first + row), "0")) for row in range(3)]
        (local_dir / name).write_text("\n".join(["source,question,answer,rating", *rows]))

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=fetch))
    for _ in range(2):
        data = SudokuData(source="hub", num_train=2, num_val=1, num_test=None)
        assert [len(split.inputs) for split in data.splits] == [2, 1, 3]
    assert calls == [("sapientinc/sudoku-extreme", name, "dataset") for name in ("train.csv", "test.csv")]


def test_a_missing_package_gives_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"pip install 'recurlight\[hub\]'"):
        download("sapientinc/sudoku-extreme")


def test_without_network_the_files_are_named(monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("no route\nto host")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=fail))
    with pytest.raises(DataError, match=r"train\.csv and test\.csv .*sapientinc/sudoku-extreme") as caught:
        download("sapientinc/sudoku-extreme")
    assert "--data.source csv --data.path DIR" in str(caught.value)
    assert "\n" not in str(caught.value)
