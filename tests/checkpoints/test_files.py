"""Checkpoint files: whole at every moment of a kill, and damage to any of their content is noticed.

Each docstring names the change to the code that makes its test fail.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import resource
import signal
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from recurlight.checkpoints import files
from recurlight.checkpoints.files import flaw, newest_good, read, verify, write
from recurlight.errors import CheckpointError


def content(number: int = 0) -> dict:
    weight = torch.arange(5000, dtype=torch.float32) + number
    return {"state_dict": {"weight": weight, "bias": torch.zeros(3)}, "global_step": number}


def same(one: dict, other: dict) -> bool:
    weights = (part["state_dict"]["weight"] for part in (one, other))
    return one["global_step"] == other["global_step"] and torch.equal(*weights)


def saved(folder: Path, name: str, number: int, age: int = 0) -> Path:
    """Write a checkpoint that is `age` seconds old."""
    path = folder / f"{name}.ckpt"
    write(content(number), path)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def in_a_child(action) -> int:
    """Run something in a process of its own and return how that ended, as `os.waitstatus_to_exitcode`."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def traced(path: Path, moment: int | None) -> int:
    """Save, and be killed at the given line of Python; return the number of lines that it takes."""
    lines = 0

    def at_line(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        if lines == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return at_line

    sys.settrace(at_line)
    try:
        write(content(1), path)
    finally:
        sys.settrace(None)
    return lines


@pytest.fixture(params=["temporary folder", "shared memory"])
def place(request, tmp_path):
    """A folder on the file system of the temporary folder, and one on another."""
    if request.param == "temporary folder":
        yield tmp_path
        return
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == os.stat(tempfile.gettempdir()).st_dev:
        pytest.skip("this machine has no second file system that can be written to")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(place):
    """Mutation: write to `tempfile.mkstemp()` and `shutil.move` it to the target."""
    saved(place, "first", 0)  # which runs what torch leaves to the first time
    lines = traced(place / "dry.ckpt", None)
    draw = random.Random(7)
    moments = [draw.randrange(1, lines) for _ in range(20)] + list(range(lines - 200, lines + 1, 5))
    found = set()
    for moment in moments:
        path = saved(place / str(moment), "killed", 0)  # a folder without what earlier kills have left
        assert in_a_child(lambda at=moment, to=path: traced(to, at)) == -signal.SIGKILL
        assert flaw(path) == ""
        after = read(path)
        assert same(after, content(0)) or same(after, content(1))
        found.add(after["global_step"])
    assert found == {0, 1}  # moments before the rename and after it


def test_content_and_name_reach_the_disk_before_the_call_returns(tmp_path, monkeypatch):
    """Mutation: leave out either `fsync`."""
    events = []

    def sync(handle, fsync=os.fsync):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def rename(source, target, replace=os.replace):
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    write(content(), tmp_path / "a.ckpt")
    assert events == ["file", "rename", "folder"]


def bits(folder: Path) -> tuple[bytes, list[int]]:
    """A small checkpoint, and bits of it: drawn ones, and all of two headers and of the end."""
    whole = saved(folder, "bad", 2).read_bytes()
    starts = (whole.rindex(mark, 0, whole.rindex(b"/data/0")) for mark in (b"PK\3\4", b"PK\1\2"))
    headers = [place for start in starts for place in range(start, start + 46)]
    headers += range(len(whole) - 22, len(whole))
    draw = random.Random(29)
    return whole, [draw.randrange(8 * len(whole)) for _ in range(300)] + [
        8 * place + bit for place in headers for bit in range(8)
    ]


def test_a_flipped_bit_is_noticed_or_harmless(tmp_path):
    """Mutation: leave out the checksums."""
    good, (whole, flips) = saved(tmp_path, "good", 1), bits(tmp_path)
    bad, refusals = tmp_path / "bad.ckpt", []
    for flip in flips:
        damaged = bytearray(whole)
        damaged[flip // 8] ^= 1 << flip % 8
        bad.write_bytes(damaged)
        files._WHOLE.clear()  # clocks of file systems tick slower than this loop
        try:
            assert same(read(bad), content(2)), flip
        except CheckpointError as error:
            refusals.append(str(error))
    assert len(refusals) > 600
    assert all(text.startswith(f"{bad}: damaged") for text in refusals)
    assert all(text.endswith(f"; the newest good checkpoint beside it is {good}") for text in refusals)
    bad.write_bytes(whole)
    assert same(read(bad), content(2))


def test_a_record_that_is_marked_as_a_folder_is_noticed(tmp_path):
    """Mutation: look at the checksums alone: torch would not read it, and take whatever the memory holds."""
    path = saved(tmp_path, "a", 2)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.rindex(b"PK\1\2", 0, damaged.rindex(b"/data/0")) + 38] ^= 0x10
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        read(path)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_that_was_cut_off_is_noticed(tmp_path, mmap):
    """Mutation: look only at the first bytes of an archive."""
    good, bad = saved(tmp_path, "good", 1), saved(tmp_path, "bad", 2)
    whole = bad.read_bytes()
    for length in (*range(0, len(whole), 500), *range(1, 5), *range(len(whole) - 25, len(whole))):
        bad.write_bytes(whole[:length])
        with warnings.catch_warnings(action="ignore"), pytest.raises(CheckpointError) as caught:
            read(bad, mmap=mmap)
        assert f"{bad}: damaged" in str(caught.value) or "no checkpoint" in str(caught.value)
        assert str(good) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_foreign_files_are_refused_in_one_line(tmp_path):
    """Mutation: let torch's own exceptions through."""
    good, foreign = saved(tmp_path, "good", 1), tmp_path / "foreign.ckpt"
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("a.txt", "text")
    for data in (b"model: {}\n", b"\x89PNG\r\n\x1a\n", (tmp_path / "archive").read_bytes()):
        foreign.write_bytes(data)
        with warnings.catch_warnings(action="ignore"), pytest.raises(CheckpointError) as caught:
            read(foreign)
        assert str(caught.value).startswith(f"{foreign}: ")
        assert str(caught.value).endswith(str(good))


def test_files_of_others_are_checked_too(tmp_path, recwarn):
    """Mutation: look for a checksum of our own."""
    path = tmp_path / "plain.ckpt"
    torch.save(content(3), path)
    assert same(read(path), content(3))
    assert not recwarn
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"plain\.ckpt: damaged, its content does not match"):
        read(path)


def test_a_file_with_a_seal_is_read(tmp_path):
    """Mutation: take the comment of files that earlier versions of recurlight wrote for damage."""
    buffer = io.BytesIO()
    torch.save(content(4), buffer)
    body = buffer.getvalue()[:-2] + (83).to_bytes(2, "little")
    path = tmp_path / "sealed.ckpt"
    path.write_bytes(body + f"recurlight sha256 {hashlib.sha256(body).hexdigest()}\n".encode())
    with zipfile.ZipFile(path) as archive:
        assert len(archive.comment) == 83
    assert same(read(path), content(4))
    assert newest_good(tmp_path) == path


def test_checksums_are_written_whatever_the_program_wants_of_its_own_files(tmp_path):
    """Mutation: leave the option of `torch.save` as it is."""
    torch.serialization.set_crc32_options(False)
    try:
        assert flaw(saved(tmp_path, "a", 0)) == ""
    finally:
        torch.serialization.set_crc32_options(True)


def test_a_file_is_read_through_once(tmp_path, monkeypatch):
    """Mutation: forget which files were whole, or remember them by name."""
    read_through = []

    def count(archive, check=zipfile.ZipFile.testzip):
        read_through.append(archive.filename)
        return check(archive)

    monkeypatch.setattr(zipfile.ZipFile, "testzip", count)
    path = saved(tmp_path, "a", 0, age=9)
    verify(path)
    verify(path)
    assert same(read(path), content(0))
    assert len(read_through) == 1
    saved(tmp_path, "a", 1)
    assert same(read(path), content(1))
    assert len(read_through) == 2


def limited(path: Path, told: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    try:
        write(content(1), path)
    except CheckpointError as error:
        told.write_text(str(error))


def test_a_full_disk_keeps_the_old_checkpoint_and_says_how_much_is_needed(tmp_path):
    """Mutation: tell the size of what could be written, or of the old one."""
    path = saved(tmp_path, "model", 0)
    write(content(1), tmp_path / "other" / "whole")
    needed = (tmp_path / "other" / "whole").stat().st_size
    assert in_a_child(lambda: limited(path, tmp_path / "told")) == 0
    told = (tmp_path / "told").read_text()
    start = f"the checkpoint {path} could not be written: File too large, it needs {needed:,} bytes and "
    assert told.startswith(start)
    assert told.endswith(f"--ckpt_path {path}")
    assert "\n" not in told
    assert same(read(path), content(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.ckpt", "other", "told"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """Mutation: let the `OSError` of `mkdir` through."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"/file/a.ckpt could not be written: .*/file\)"):
        write(content(), tmp_path / "file" / "a.ckpt")


def test_the_newest_good_file_is_found(tmp_path):
    """Mutation: take the newest by name, or without checking it."""
    oldest, older = saved(tmp_path, "z", 1, age=9), saved(tmp_path, "b", 2, age=6)
    cut, changed = saved(tmp_path, "a", 3, age=3), saved(tmp_path, "c", 3, age=2)
    cut.write_bytes(cut.read_bytes()[:-1])
    changed.write_bytes(changed.read_bytes().replace(b"global_step", b"global_stop"))
    (tmp_path / "text.ckpt").write_text("model: {}")
    (tmp_path / "nowhere.ckpt").symlink_to("gone")
    assert newest_good(tmp_path) == older
    (tmp_path / "link.ckpt").symlink_to("b.ckpt")
    assert newest_good(tmp_path, besides=older) == oldest
    assert newest_good(tmp_path / "gone") is None


def test_permissions_are_those_of_any_new_file(tmp_path):
    """Mutation: `tempfile.mkstemp`, whose files nobody else can read."""
    (tmp_path / "plain").write_text("")
    assert saved(tmp_path, "a", 0).stat().st_mode == (tmp_path / "plain").stat().st_mode
