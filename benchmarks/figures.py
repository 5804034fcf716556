"""Draws the figures of the front page, the same every time, from what was measured.

`python benchmarks/figures.py` writes `docs/assets/accuracy.svg`, `growth.svg` and `solving.png`, the strip of
`recurlight trace` in two rows, which can be read on a phone too.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 480
INK, PALE, BLUE, PANEL = "#1f2430", "#5b6377", "#0072b2", "#fbfbfd"

SEGMENTS = (1, 2, 4, 8, 16)
QUICKSTART = {
    0: (64.4, 96.8, 98.8, 99.4, 99.4),
    1: (65.2, 96.2, 98.4, 98.4, 98.4),
    2: (54.0, 95.8, 99.0, 99.0, 98.8),
}
"""Percent of 500 held-out puzzles by seed: the last lines of `recurlight fit --config quickstart`."""

ONE_PASS = "one pass, matched in compute of a step, 26 blocks, seed 0"
"""The row of docs/why-recursion.md that the recursion is compared with."""


def text(x: float, y: float, words: str, *, size: int = 13, anchor: str = "middle", fill: str = INK) -> str:
    """Write words at a point."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{words}</text>'


def drawing(height: int, title: str, description: str, parts: list[str]) -> str:
    """Put parts on a light panel, which reads the same on a white page and on a dark one."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" role="img">',
        f"<title>{title}</title>",
        f"<desc>{description}</desc>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PANEL}"/>',
        text(20, 28, title, size=15, anchor="start"),
        *parts,
        "</svg>",
        "",
    ])  # fmt: skip


def across(number: int) -> float:
    """Return where on the page a number of segments stands."""
    return 75 + 92 * SEGMENTS.index(number)


def down(percent: float) -> float:
    """Return how far down the page a share stands."""
    return 252 - 1.9 * percent


def scales() -> list[str]:
    """Draw the lines of both axes with their numbers."""
    parts = []
    for percent in (0, 25, 50, 75, 100):
        y = down(percent)
        parts.append(f'<path d="M52 {y:g}H460" stroke="#d5d9e2"/>')
        parts.append(text(46, y + 4.5, str(percent), anchor="end", fill=PALE))
    parts += [text(across(number), 273, str(number), fill=PALE) for number in SEGMENTS]
    return [*parts, text(256, 295, "segments of reasoning by the same weights", fill=PALE)]


def accuracy() -> str:
    """Draw the quickstart's exact accuracy after more segments: a dot for a seed, a line for their mean."""
    seeds = list(QUICKSTART.values())
    means = [statistics.mean(of) for of in zip(*seeds, strict=True)]
    parts = scales()
    points = " ".join(f"{across(n):g},{down(mean):g}" for n, mean in zip(SEGMENTS, means, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2.5"/>')
    for exact in seeds:
        places = zip(map(across, SEGMENTS), map(down, exact), strict=True)
        parts += [f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{BLUE}" opacity="0.55"/>' for x, y in places]
    for number, mean in zip(SEGMENTS, means, strict=True):
        beside = 34 if number == SEGMENTS[0] else 0  # of the steep line, which words above would cross
        parts.append(text(across(number) + beside, down(mean) + (6 if beside else 24), f"{mean:.1f}"))
    told = ", ".join(f"{mean:.1f} after {n}" for n, mean in zip(SEGMENTS, means, strict=True))
    said = f"Mean of three seeds in percent: {told}."
    return drawing(308, "6x6 Sudoku: held-out puzzles solved (%)", said, parts)


Shares = dict[int, tuple[float, ...]]


def parity(page: str) -> tuple[tuple[int, ...], Shares, tuple[float, ...]]:
    """Read what the page on recursion has of prefix parity.

    Args:
        page: Its text.

    Returns:
        Numbers of segments, percent for each of them by number of bits, and percent of one pass for each
        number of bits.
    """
    printed = re.search(r"^length +(.+)\n((?:\d+ +.+%\n)+)", page, re.M)
    row = re.search(rf"^\| {re.escape(ONE_PASS)} \|(.+)\| [^|]+ \|$", page, re.M)
    if printed is None or row is None:
        raise ValueError("docs/why-recursion.md has no table of prefix parity")
    lines = [line.replace("%", "").split() for line in printed[2].splitlines()]
    shares = {int(bits): tuple(map(float, exact)) for bits, *exact in lines}
    return tuple(map(int, printed[1].split())), shares, tuple(map(float, re.findall(r"\d+", row[1])))


def cell(x: float, y: float, percent: float) -> str:
    """Draw a share: the more, the bluer, and its number in it."""
    share = 0.04 + 0.96 * percent / 100
    fill = f'fill="{BLUE}" fill-opacity="{share:g}" stroke="{BLUE}" stroke-opacity="0.35"'
    box = f'<rect x="{x:g}" y="{y:g}" width="46" height="34" rx="4" {fill}/>'
    return box + text(x + 23, y + 22, f"{percent:g}", fill="#ffffff" if percent > 60 else INK)


def growth() -> str:
    """Draw the exact accuracy of prefix parity, which is trained on up to 32 bits, by length and segments."""
    numbers, shares, one_pass = parity((ROOT / "docs/why-recursion.md").read_text("utf-8"))
    parts = [text(235, 60, "segments of eight updates", fill=PALE), text(437, 60, "one pass,", fill=PALE)]
    parts += [text(117 + 50 * column, 80, str(number), fill=PALE) for column, number in enumerate(numbers)]
    parts.append(text(437, 80, "26 blocks", fill=PALE))
    for row, ((bits, exact), once) in enumerate(zip(shares.items(), one_pass, strict=True)):
        y = 90 + 38 * row
        parts.append(text(84, y + 22, f"{bits} bits", anchor="end"))
        parts += [cell(94 + 50 * column, y, percent) for column, percent in enumerate(exact)]
        parts.append(cell(414, y, once))
    below = "trained on 8 to 32 bits; the rest is reached by thinking longer"
    parts.append(text(20, 302, below, anchor="start", fill=PALE))
    told = ", ".join(f"{bits} bits {exact[-1]:g}" for bits, exact in shares.items())
    said = f"Percent after {numbers[-1]} segments: {told}."
    return drawing(316, "Prefix parity: held-out questions solved (%)", said, parts)


def solving() -> Image:
    """Put the right half of the strip below the left one, board under board."""
    from PIL import Image

    strip = Image.open(ROOT / "docs/assets/trace.png").convert("RGB")
    half, height = strip.width // 2, strip.height
    picture = Image.new("RGB", (half, 2 * height), "white")
    picture.paste(strip.crop((0, 0, half, height)), (0, 0))
    picture.paste(strip.crop((half, 0, strip.width, height)), (6, height))  # from where its boards stand
    return picture


def main() -> None:
    """Write them."""
    solving().save(ROOT / "docs/assets/solving.png", optimize=True)
    for name, picture in (("accuracy", accuracy()), ("growth", growth())):
        (ROOT / f"docs/assets/{name}.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
