"""Tasks by name. Entry `i` is a function of the seed and of `i`, as far as its task keeps to that."""

import random
from dataclasses import dataclass


@dataclass
class Config:
    most: int = 99
    seed: int | None = None
    size: int = 500

    def validate(self):
        assert self.most > 0, "most must be positive"


class Dataset:
    def __init__(self, config):
        self.config = config

    def entry(self, draw, most):
        raise NotImplementedError

    def __getitem__(self, number):
        assert number < self.config.size
        question, answer, *kept = self.entry(random.Random(self.config.seed + number), self.config.most)
        return {"question": question, "answer": answer, "metadata": {"number": number, "kept": kept}}

    def score_answer(self, answer, entry):
        return float(answer == entry["answer"])


class Sums(Dataset):
    """A sum of two numbers; half the score for an answer that is one too low or too high."""

    def entry(self, draw, most):
        one, two = draw.randint(0, most), draw.randint(0, most)
        return f"{one} +\n{two}", str(one + two)

    def score_answer(self, answer, entry):
        return {0: 1.0, 1: 0.5}.get(abs(int(answer) - int(entry["answer"])), 0.0)


class Parts(Dataset):
    """Two numbers of a given sum, which the answer does not tell: any two are right."""

    def entry(self, draw, most):
        whole, name = draw.randint(0, most), draw.choice("abcdefgh")
        return f"{name}: {whole}", f"{whole}+0", {"whole": whole}

    def score_answer(self, answer, entry):
        (kept,) = entry["metadata"]["kept"]
        return float(eval(answer) == kept["whole"])


class Careless(Dataset):
    """Draws from the global generator, prints, and depends on the order of a set."""

    def entry(self, draw, most):
        print("made one")  # noqa: T201
        words = list({f"word{number}" for number in range(most)})
        return f"{draw.randint(0, 10**6)} {random.random()} {words}", words[0]


class Unanswered(Dataset):
    def entry(self, draw, most):
        return str(draw.randint(0, most)), None


class Long(Dataset):
    def entry(self, draw, most):
        return str(draw.random()), "1" * 3000


KINDS = {
    "careless": Careless,
    "chain_sum": Sums,
    "long": Long,
    "parts": Parts,
    "unanswered": Unanswered,
}
DATASETS = {name: (kind, Config) for name, kind in KINDS.items()}
