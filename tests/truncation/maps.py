"""Maps with and without fixed points, the same on every machine and with every release of torch."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]
ROWS, FEATURES = 50, 6


def uniform(generator: random.Random, *shape: int) -> Tensor:
    """Numbers between -1 and 1, float64."""
    count = torch.Size(shape).numel()
    numbers = [2 * generator.random() - 1 for _ in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def contractions(seed: int) -> tuple[Tensor, Tensor]:
    """Draw matrices of spectral norms between 0.1 and 0.95, `(50, 6, 6)`, and shifts, `(50, 6)`."""
    generator = random.Random(seed)
    matrices, shifts = uniform(generator, ROWS, FEATURES, FEATURES), uniform(generator, ROWS, FEATURES)
    gains = 0.525 + 0.425 * uniform(generator, ROWS)
    return matrices * (gains / torch.linalg.matrix_norm(matrices, 2))[:, None, None], shifts


def linear(rows: slice = slice(None)) -> Map:
    """Contract by matrices and shift, each row its own."""
    matrices, shifts = contractions(1)
    return lambda z: (matrices[rows] @ z[:, :, None])[:, :, 0] + shifts[rows]


def tanh(rows: slice = slice(None)) -> Map:
    """Contract by matrices, shift and bend, each row its own."""
    matrices, shifts = contractions(2)
    return lambda z: ((matrices[rows] @ z[:, :, None])[:, :, 0] + shifts[rows]).tanh()


CONTRACTIONS: dict[str, Callable[[slice], Map]] = {"linear": linear, "tanh": tanh}

_SHIFT = torch.linspace(0.5, 2.0, FEATURES, dtype=torch.float64)
_TURN = torch.eye(FEATURES, dtype=torch.float64).roll(1, 0)

WITHOUT_FIXED_POINT: dict[str, Map] = {
    "shift": lambda z: z + _SHIFT,
    "shift along one direction": lambda z: torch.cat([z[:, :1] + 1, 0.5 * z[:, 1:] + 1], 1),
    "shift that waves": lambda z: z + 1.5 + z.sin(),
    "shift against the sign": lambda z: z - _SHIFT + 0.1 * z.cos(),
    "turn and shift": lambda z: z @ _TURN + 1,
    "turn and shift in pairs": lambda z: z.roll(1, 1) + _SHIFT,
    "square": lambda z: z**2 + 1,
    "square and more": lambda z: z**2 + z + 1,
    "minus a square": lambda z: z - z**2 - 0.5,
    "cubes that pass by": lambda z: z + 1 + z.abs() ** 3,
    "fourth power": lambda z: z**4 + 1,
    "exponential": torch.exp,
    "hyperbolic cosine": torch.cosh,
    "root beside": lambda z: z + (1 + z**2).sqrt(),
    "norm of the row": lambda z: z + 1 + z.norm(dim=1, keepdim=True),
    "jump at zero": lambda z: torch.where(z > 0, -1.0, 1.0).to(z.dtype),
    "jump at one": lambda z: torch.where(z > 1, 0.5 * z - 2, z + 1),
    "never a number": lambda z: z * torch.nan,
    "infinite": lambda z: z + torch.inf,
    "number at the start only": lambda z: torch.where(z == 0, 1.0, torch.nan).to(z.dtype),
}
