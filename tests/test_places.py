"""What is in the way of a new file is found before anything is written."""

import pytest

from recurlight.errors import DataError, RecurlightError
from recurlight.places import free_place


def test_a_free_place_is_returned_and_left_as_it_was(tmp_path):
    assert free_place(tmp_path / "new.txt", "give another") == tmp_path / "new.txt"
    assert [*tmp_path.iterdir()] == []


def test_what_is_in_the_way_is_told_with_what_to_do(tmp_path):
    (tmp_path / "there").write_text("precious")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("there", "link"):
        with pytest.raises(RecurlightError, match=rf"{name} exists already: give another$"):
            free_place(tmp_path / name, "give another")
    with pytest.raises(DataError, match=r"the folder .*gone does not exist: make it first"):
        free_place(tmp_path / "gone" / "new", "give another", DataError)
    with pytest.raises(RecurlightError, match=r"^/proc/new cannot be written \(.+\): give another$"):
        free_place("/proc/new", "give another")  # where root may not write either
    assert (tmp_path / "there").read_text() == "precious"
