"""Sudoku-Extreme from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from recurlight.data.cache import cache_folder
from recurlight.errors import DataError

__all__ = ["FILES", "REPOSITORY", "download"]

REPOSITORY = "sapientinc/sudoku-extreme"
FILES = ("train.csv", "test.csv")


def download() -> Path:
    """Return the folder with the files of Sudoku-Extreme, downloading those that the cache lacks.

    Raises:
        DataError: `huggingface_hub` is not installed, or the files cannot be downloaded.
    """
    folder = cache_folder() / "sudoku-extreme"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not missing:
        return folder
    try:
        from huggingface_hub import hf_hub_download  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DataError(
            "source hub needs huggingface_hub: pip install 'recurlight[hub]', or set data.source to csv"
        ) from error
    try:
        for name in missing:
            hf_hub_download(REPOSITORY, name, repo_type="dataset", local_dir=folder)
    except Exception as error:  # the client raises errors of several libraries when there is no network
        raise DataError(
            f"cannot download {' and '.join(missing)} of the hub data set {REPOSITORY} "
            f"({type(error).__name__}): put the files in a folder DIR and use "
            "--data.source csv --data.path DIR"
        ) from error
    return folder
