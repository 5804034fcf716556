"""Two processes that meet in a process group, run apart, so that a deadlock fails instead of hanging."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_two(code: str, path: Path, *folders: Path, timeout: int = 180) -> None:
    """Run the code as rank 0 and as rank 1; their interpreters share nothing with this one.

    Args:
        code: What to run.
        path: Folder to run it in.
        *folders: Where it may import from, beside this folder.
        timeout: Seconds until it counts as a deadlock.
    """
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, [*folders, here, here.parent, os.environ.get("PYTHONPATH", "")]))
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "PYTHONPATH": paths,
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | place | {"LOCAL_RANK": str(rank), "NODE_RANK": "0"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=path,
        )
        for rank in range(2)
    ]
    try:
        errors = [rank.communicate(timeout=timeout)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for rank, error in zip(ranks, errors, strict=True):
        assert rank.returncode == 0, error[-3000:]
