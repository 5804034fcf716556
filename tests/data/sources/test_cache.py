from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurlight.data.sources.cache import cache_folder, load_arrays, save_arrays
from recurlight.errors import DataError


def test_arrays_come_back(tmp_path):
    path = tmp_path / "deep" / "file.npz"
    save_arrays(path, grid=np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert (load_arrays(path)["grid"] == [[0, 1, 2], [3, 4, 5]]).all()
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("numpy.savez_compressed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_arrays(tmp_path / "file.npz", grid=np.zeros(1, dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*file .*RECURLIGHT_CACHE"):
        save_arrays(tmp_path / "file" / "grids.npz", grid=np.zeros(1, dtype=np.uint8))


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RECURLIGHT_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "recurlight"
    for ignored in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path.home() / ".cache" / "recurlight"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "recurlight"
