"""ARC grids on a square canvas, and their symmetries: pure functions of numpy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import counter_hash, draws

__all__ = ["Symmetry", "crop_sizes", "draw", "grid_sizes", "move", "restore", "symmetries"]

END, FIRST_COLOR, VOCABULARY = 1, 2, 12

_SYMMETRY = 1 << 63  # a use of the seed that no order or augmentation has
_GEOMETRY, _COLORS = range(2)


def draw(grid: NDArray[np.int8], size: int) -> NDArray[np.int8]:
    """Draw a grid of colors at the top left of a canvas of tokens.

    Tokens: 0 pad, 1 end of grid (below and right of it, where there is room), 2 to 11 the colors.

    Args:
        grid: `(h, w)` colors 0 to 9.
        size: Rows and columns of the canvas.

    Example:
        >>> draw(np.array([[0, 9]], dtype=np.int8), 4)
        array([[ 2, 11,  1,  0],
               [ 1,  1,  0,  0],
               [ 0,  0,  0,  0],
               [ 0,  0,  0,  0]], dtype=int8)
    """
    height, width = grid.shape
    canvas = np.zeros((size, size), dtype=np.int8)
    canvas[:height, :width] = grid + FIRST_COLOR
    canvas[height : height + 1, :width] = END
    canvas[:height, width : width + 1] = END
    return canvas


def grid_sizes(canvases: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return rows and columns of the grid at the top left of each canvas `(..., C, C)`, as `(..., 2)`."""
    sizes: NDArray[np.int64] = np.stack(
        [(canvases[..., 0] >= FIRST_COLOR).sum(-1), (canvases[..., 0, :] >= FIRST_COLOR).sum(-1)], axis=-1
    )
    return sizes


def crop_sizes(canvases: NDArray[Any]) -> NDArray[np.int64]:
    """Return the size of the largest rectangle of colors that starts at the top left of any canvas.

    That is the grid itself on a well-formed canvas; predictions need not be one. Of rectangles of equal area
    the one with fewer rows counts, and there may be none.

    Args:
        canvases: `(n, C, C)` tokens.

    Returns:
        `(n, 2)` rows and columns, 0 where the first token is no color.

    Example:
        >>> crop_sizes(np.array([[[2, 3, 1], [2, 0, 5], [1, 1, 0]]]))
        array([[1, 2]])
    """
    runs = np.logical_and.accumulate(canvases >= FIRST_COLOR, axis=2).sum(axis=2)  # colors from the left
    widths = np.minimum.accumulate(runs, axis=1)  # (n, C): columns of a rectangle of 1, 2, ... rows
    best = (widths * np.arange(1, canvases.shape[1] + 1)).argmax(axis=1)
    columns = np.take_along_axis(widths, best[:, None], axis=1)[:, 0]
    return np.stack([np.where(columns > 0, best + 1, 0), columns], axis=1)


class Symmetry(NamedTuple):
    """One symmetry for each of `n` samples: rows or columns reversed, then transposed, then recolored."""

    flips: NDArray[np.bool_]
    """Whether rows and whether columns are reversed, `(n, 2)`."""
    turned: NDArray[np.bool_]
    """Whether the result is transposed, `(n,)`."""
    tokens: NDArray[np.int8]
    """New token of each token, `(n, 12)`."""

    def inverse(self) -> Symmetry:
        """Return the symmetries that undo these."""
        flips = np.where(self.turned[:, None], self.flips[:, ::-1], self.flips)
        return Symmetry(flips, self.turned, self.tokens.argsort(axis=1).astype(np.int8))


def symmetries(seed: int, identities: NDArray[np.int64], variants: int) -> Symmetry:
    """Draw the symmetry that belongs to each identity, the number `task * variants + variant`.

    The eight geometries of the square are equally likely, and so are the permutations of colors 1 to 9; color
    0 stays. Variant 0 of every task is the task itself.

    Args:
        seed: Any integer.
        identities: `(n,)`.
        variants: Variants of each task, itself included.

    Example:
        >>> symmetries(0, np.array([5, 6]), variants=5).tokens[0]
        array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11], dtype=int8)
    """
    keys = counter_hash(seed, _SYMMETRY, identities)
    geometry = draws(keys, _GEOMETRY, 1) >> np.uint64(61)  # (n, 1)
    bits = (geometry >> np.arange(3, dtype=np.uint64)) & np.uint64(1)
    tokens = np.tile(np.arange(VOCABULARY, dtype=np.int8), (len(keys), 1))
    tokens[:, 3:] = draws(keys, _COLORS, 9).argsort(axis=1) + 3
    plain = identities % variants == 0
    bits[plain], tokens[plain] = 0, np.arange(VOCABULARY)
    return Symmetry(bits[:, :2].astype(bool), bits[:, 2].astype(bool), tokens)


def move(
    canvases: NDArray[np.int8],
    symmetry: Symmetry,
    sizes: NDArray[np.int64],
    offsets: NDArray[np.int64] | None = None,
) -> NDArray[np.int8]:
    """Apply each sample's symmetry to its grids, end marks included, and shift them.

    `new[i + down, j + right] = tokens[old[r(i), c(j)]]`, with `r` and `c` reversing as the flips say, and
    `old[r(j), c(i)]` where turned

    Args:
        canvases: `(n, g, C, C)` tokens, `g` grids of each sample, at the top left.
        symmetry: `n` symmetries.
        sizes: Rows and columns of each grid, `(n, g, 2)`.
        offsets: Places down and right, `(n, 2)`; None for none.

    Returns:
        Canvases of the same shape and dtype.
    """
    count, grids, size, _ = canvases.shape
    edge = size + 1  # one more row and column of padding to point at
    padded = np.zeros((count, grids, edge, edge), dtype=np.int8)
    padded[..., :size, :size] = canvases
    turned = symmetry.turned[:, None, None]
    start = np.zeros((count, 2), dtype=np.int64) if offsets is None else offsets
    start = np.where(symmetry.turned[:, None], start[:, ::-1], start)
    rows, columns = (
        _sources(start[:, axis], sizes[..., axis], symmetry.flips[:, axis], size) for axis in (0, 1)
    )  # (n, g, C): where each place along the axis of the old rows and of the old columns comes from
    down = np.where(turned, columns, rows * edge)
    across = np.where(turned, rows * edge, columns)
    first = np.arange(count * grids).reshape(count, grids, 1, 1) * edge**2
    moved = padded.reshape(-1).take(first + down[..., :, None] + across[..., None, :])
    table = (np.arange(count) * VOCABULARY)[:, None, None, None]
    recolored: NDArray[np.int8] = symmetry.tokens.reshape(-1).take(moved + table)
    return recolored


def _sources(
    start: NDArray[np.int64], lengths: NDArray[np.int64], flip: NDArray[np.bool_], size: int
) -> NDArray[np.int64]:
    """Old line of each new line, `(n, g, C)`: of the grid, its end mark, or the padding at index `size`."""
    place = np.arange(size) - start[:, None, None]
    length = lengths[..., None]
    line = np.where(flip[:, None, None], length - 1 - place, place)
    outside = np.where(place == length, length, size)
    return np.where((place >= 0) & (place < length), line, outside)


def restore(tokens: NDArray[Any], symmetry: Symmetry) -> list[NDArray[np.int8]]:
    """Crop predicted canvases to grids and undo their symmetries.

    Args:
        tokens: `(n, C, C)`.
        symmetry: What was applied to the questions, `n` symmetries.

    Returns:
        `n` grids of colors 0 to 9, `(h, w)` each; an empty one where the prediction has no color to start.

    Example:
        >>> turned = symmetries(0, np.arange(1, 9), variants=9)
        >>> grid = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int8)
        >>> old = np.tile(draw(grid, 4), (8, 1, 1, 1))
        >>> new = move(old, turned, grid_sizes(old))
        >>> all((found == grid).all() for found in restore(new[:, 0], turned))
        True
    """
    sizes = crop_sizes(tokens)
    moved = move(tokens[:, None].astype(np.int8), symmetry.inverse(), sizes[:, None])[:, 0]
    sizes = np.where(symmetry.turned[:, None], sizes[:, ::-1], sizes)
    return [canvas[:h, :w] - FIRST_COLOR for canvas, (h, w) in zip(moved, sizes.tolist(), strict=True)]
