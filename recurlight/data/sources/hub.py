"""Puzzle files from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from recurlight.data.sources.cache import cache_folder
from recurlight.errors import DataError

__all__ = ["FILES", "download"]

FILES = ("train.csv", "test.csv")


def download(repository: str) -> Path:
    """Return the folder with the files of a hub data set, downloading those that the cache lacks.

    Files that are there are used as they are, with a notice and without asking the hub.

    Args:
        repository: Such as `sapientinc/sudoku-extreme`.

    Raises:
        DataError: `huggingface_hub` is not installed, or the files cannot be downloaded.
    """
    folder = cache_folder() / repository.rsplit("/", 1)[-1]
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not missing:
        rank_zero_info(f"Using the copy of {repository} in {folder}; delete it to download it anew")
        return folder
    try:
        from huggingface_hub import hf_hub_download  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DataError(
            "source hub needs huggingface_hub: pip install 'recurlight[hub]', or set data.source to csv"
        ) from error
    try:
        for name in missing:
            hf_hub_download(repository, name, repo_type="dataset", local_dir=folder)
    except Exception as error:  # the client raises errors of several libraries when there is no network
        raise DataError(
            f"cannot download {' and '.join(missing)} of the hub data set {repository} "
            f"({type(error).__name__}): put the files in a folder DIR and use "
            "--data.source csv --data.path DIR"
        ) from error
    return folder
