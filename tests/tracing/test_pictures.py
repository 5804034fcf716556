"""Strips and films of a replay: which moments they show, and that they are what they are called."""

import pytest
from helpers import batch, opinionated, single, trm

from recurlight import replay
from recurlight.tracing.pictures import film, filmstrip, moments

from .test_page import Colors, Digits, Symbols

pytest.importorskip("matplotlib", reason="the extra viz is not installed")


def made(**settings):
    return replay(opinionated(trm(**settings), 3.0).eval(), batch(2), Digits(), adaptive=False)


def test_a_strip_shows_the_way_to_the_answer_and_ends_there():
    """Fails if a short way is cut, or a long one is not."""
    short, long = made(max_segments=2), made(max_segments=12)
    assert moments(short) == [3, 6, 9, 12]
    assert moments(long, most=20) == [long.last_update(number) for number in range(1, 13)]
    assert len(moments(long)) == 8
    assert moments(long)[-1] == long.last_update(12)
    ended = long._replace(predicted=1)
    assert moments(ended) == [3, 6]


@pytest.mark.parametrize("data", [Digits(), Colors(), Symbols()])
def test_strip_and_film_are_written(data, tmp_path):
    from PIL import Image

    found = replay(single().eval(), batch(2), data)
    filmstrip(found, tmp_path / "a.png")
    film(found, tmp_path / "a.gif", milliseconds=100)
    with Image.open(tmp_path / "a.png") as strip, Image.open(tmp_path / "a.gif") as moving:
        assert moving.n_frames == len(found.updates) + 1
        assert moving.info["duration"] == 100
        many, few = (strip.height, moving.height) if data.grid_shape[0] == 1 else (strip.width, moving.width)
        assert many > 3 * few  # the question and three answers, against one level
