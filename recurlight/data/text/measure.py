"""How well text is predicted, in bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recurlight.metrics.shares import SharesBySegments, table_line
from recurlight.types import Batch, Prediction, supervised

__all__ = ["BitsPerByte"]


class BitsPerByte(SharesBySegments):
    """Bits that a model needs for each byte of the text, after 1, 2, 4, ... segments: what loops buy.

    `bits = sum over supervised tokens of -log2 p[label] / bytes of these tokens in UTF-8`, with `p =
    softmax(logits)`, or what the loss makes of logits, as `StablemaxCrossEntropy` does by stablemax. The
    perplexity of a token, `2^(bits of it)`, is told beside it.

    Args:
        sizes: Bytes of each token, `V` of them.

    Example:
        >>> metric, labels = BitsPerByte([0, 1, 1]), torch.tensor([[1, 2]])
        >>> spent = torch.ones(1, dtype=torch.int64)
        >>> sure = torch.tensor([[[-torch.inf, 0.0, 0.0], [-torch.inf, -torch.inf, 0.0]]])
        >>> metric.update(Batch(labels, labels, spent), Prediction(sure, spent, spent > 1, spent / 1), 1)
        >>> print(metric.table())  # one bit for the first byte, none for the second
        text after segments
        segments             1
        bits per byte    0.500
        perplexity       1.414
    """

    alone = True
    counts_in = torch.float32

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(["bits_per_byte", "bits_per_token"])
        self.bytes_of = torch.tensor(sizes)  # no buffer: averaged weights are paired with those of the start

    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the bits, twice, and the bytes and tokens that they are for, `(2,)` each."""
        counts, self.bytes_of = supervised(batch.labels), self.bytes_of.to(batch.labels.device)
        labels = batch.labels.where(counts, 0)
        nats = -self.log_probabilities(prediction.logits).gather(2, labels[..., None]).squeeze(2)  # (B, L)
        bits = nats.where(counts, 0.0).sum(dtype=self.counts_in) / math.log(2)
        return bits.expand(2), torch.stack([self.bytes_of[labels].where(counts, 0).sum(), counts.sum()])

    def table(self) -> str:
        """Return the table with its two lines of header."""
        found, points = self.compute(), [*self.points.values()]
        per_byte, per_token = (
            [found[self.figure(line, point)].item() for point in points] for line in self.lines
        )
        rows = {"bits per byte": per_byte, "perplexity": [2**bits for bits in per_token]}
        lines = [table_line(head, [f"{one:.3f}" for one in row], 14) for head, row in rows.items()]
        return "\n".join(["text after segments", table_line("segments", points, 14), *lines])
