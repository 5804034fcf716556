"""Two processes compute what one does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from frozen import Tied
from helpers import NUMBERS, SIZES, attention, batch, causal, loader, mixer, numbers, opinionated
from noisy import DrawnWindow, noisy
from ranks import run_two
from resuming import Shifts

from recurlight.callbacks import DepthCurriculum, RandomDepth, RandomWindow, WindowCurriculum
from recurlight.halting import CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.language import HeadDecoder, HiddenEncoder
from recurlight.losses import MeanSquaredError
from recurlight.optim import SplitOptimizer
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.supervision import DeepSupervision, Denoising, PonderLoss, WinnerTakesAll
from recurlight.training.module import RecursiveModule
from recurlight.truncation import EveryUpdate, ImplicitGradient, LastCycles, LastUpdates
from recurlight.types import Batch

ROWS, STEPS, COMPARED = 8, 24, 4


def plain_sgd(parameters):
    """Its step is proportional to the gradient, which an adaptive optimizer would hide."""
    return torch.optim.SGD(parameters, lr=0.05)


def split_sgd(parameters):
    """Another rate for the cells' matrices."""
    return SplitOptimizer(parameters, matrices=partial(torch.optim.SGD, lr=0.02), rest=plain_sgd)


MODELS = {
    "trm": lambda: (TwoLevelRefiner(mixer(), latent_steps=2), LastCycles(1), CorrectnessHalting(), 2, 4),
    "hrm": lambda: (TwoLevelRefiner(mixer(), attention(), 1), LastUpdates(2), QLearningHalting(), 2, 4),
    "split": lambda: (TwoLevelRefiner(mixer(), latent_steps=2), LastCycles(1), CorrectnessHalting(), 2, 4),
    "frozen": lambda: (TwoLevelRefiner(mixer(), attention(), 1), LastUpdates(1), CorrectnessHalting(), 2, 4),
    "backbone": lambda: (SingleRefiner(causal()), LastCycles(1), CorrectnessHalting(), 2, 4),
    "numbers": lambda: (TwoLevelRefiner(mixer(), latent_steps=2), LastCycles(1), CorrectnessHalting(), 2, 4),
    "deq": lambda: (SingleRefiner(mixer()), ImplicitGradient(), FixedHalting(), 6, 1),
    "ponder": lambda: (TwoLevelRefiner(mixer(), latent_steps=1), LastCycles(1), CorrectnessHalting(), 2, 2),
    "deep": lambda: (TwoLevelRefiner(mixer(), latent_steps=1), EveryUpdate(), CorrectnessHalting(), 2, 4),
    "noisy": lambda: (noisy(), DrawnWindow(), CorrectnessHalting(), 2, 4),
    "winner": lambda: (TwoLevelRefiner(mixer(), latent_steps=1), LastCycles(1), CorrectnessHalting(), 2, 4),
    "denoising": lambda: (
        TwoLevelRefiner(mixer(), latent_steps=1),
        LastCycles(1),
        CorrectnessHalting(),
        2,
        4,
    ),
}
CURRICULA = {
    "random window": RandomWindow(most=4),
    "random depth": RandomDepth(mean=3.0),
    "growing window": WindowCurriculum(2, 6, share=0.25),
    "growing depth": DepthCurriculum([1, 2, 3], [1, 2, 3], [0, 0.05, 0.1]),
}
MODELS |= dict.fromkeys(CURRICULA, MODELS["trm"])
RULES = {
    "deep": DeepSupervision(2, through=True),
    "ponder": PonderLoss(through=False),
    "winner": WinnerTakesAll(2),
    "denoising": Denoising(),
}


def made(name: str) -> RecursiveModule:
    refiner, truncation, halting, cycles, segments = MODELS[name]()
    settings = {"width": SIZES.width, "exploration": 0.5, "eval_adaptive": True, "eval_seed": 7}
    settings["optimizer"] = split_sgd if name == "split" else plain_sgd
    sizes = {"cycles": cycles, "max_segments": segments, "supervision": RULES.get(name)}
    if name == "numbers":
        sizes |= {"features": NUMBERS.features, "targets": NUMBERS.targets, "loss": MeanSquaredError(1.0)}
    if name == "backbone":
        settings |= {"backbone": Tied(), "encoder": HiddenEncoder(), "decoder": HeadDecoder()}
    if name == "frozen":
        still = {"parts": ["encoder", "refiner.latent"], "frozen": True}
        settings["optimizer_groups"] = [still, {"parts": ["halting"], "lr": 0.2}]
        settings["optimizer"] = partial(torch.optim.SGD, lr=0.05)
    model = RecursiveModule(SIZES.vocab, SIZES.tokens, refiner, truncation, halting, **settings, **sizes)
    if list(model.recursion.halting.parameters()):
        opinionated(model.recursion, spread=0.5)
    return model.double()


class Questions(pl.LightningDataModule):
    """Global batches, each rank taking its block of rows."""

    def __init__(self, drawn=batch) -> None:
        super().__init__()
        self.drawn = drawn

    def train_dataloader(self):
        rank, share = self.trainer.global_rank, ROWS // self.trainer.world_size
        rows = slice(rank * share, (rank + 1) * share)
        return loader([Batch(*(leaf[rows] for leaf in self.drawn(ROWS, seed=step))) for step in range(STEPS)])


class Record(pl.Callback):
    """Keeps weights and halting of the first steps, and the last weights, in a file for each rank."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.weights: list[torch.Tensor] = []
        self.halted: list[list[bool]] = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.weights.append(torch.cat([w.detach().flatten().clone() for w in pl_module.parameters()]))
        self.halted.append(pl_module.carries[0].halted.tolist())

    def on_train_end(self, trainer, pl_module):
        found = {"weights": self.weights, "halted": self.halted}
        torch.save(found, f"{self.path}.{trainer.world_size}.{trainer.global_rank}")


def trainer(devices: int, *callbacks: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=STEPS,
        logger=False,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def fit(name: str, path: Path, devices: int) -> None:
    rows = numbers if name == "numbers" else batch
    curricula = [CURRICULA[name]] if name in CURRICULA else []
    trainer(devices, Record(f"{path}/{name}"), *curricula).fit(made(name), Questions(rows))


def ask(path: Path, devices: int) -> None:
    """Answer eight questions in batches of five with a model that draws, and keep them with the logits."""
    data, run = Shifts(batch_size=4, eval_batch_size=5, test=8), trainer(devices)
    answers = run.predict(made("noisy"), data)
    questions = [batch.inputs for batch in data.predict_dataloader()]
    found = torch.cat(questions), torch.cat([answer.logits for answer in answers])
    torch.save(found, f"{path}/answers.{devices}.{run.global_rank}")


def fit_all(path: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    for name in MODELS:
        fit(name, path, 2)
    ask(path, 2)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> Path:
    """Run both processes to the end."""
    path = tmp_path_factory.mktemp("ranks")
    run_two(f"import training.test_distributed as t; t.fit_all({str(path)!r})", path)
    return path


@pytest.fixture(params=MODELS)
def runs(request, two_ranks, tmp_path):
    """What one process, the first and the second of two recorded."""
    fit(request.param, tmp_path, 1)
    files = (f"{tmp_path}/{request.param}.1.0", *(f"{two_ranks}/{request.param}.2.{rank}" for rank in (0, 1)))
    return request.param, *map(torch.load, files)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_two_ranks_equal_one_process(runs):
    name, one, left, right = runs
    for step in range(COMPARED):
        assert left["halted"][step] + right["halted"][step] == one["halted"][step]
        torch.testing.assert_close(left["weights"][step], one["weights"][step], rtol=0, atol=1e-10)
    assert (one["weights"][COMPARED - 1] - one["weights"][0]).abs().max() > 1e-4
    if name not in ("deq", "ponder"):  # whose slots all finish in every step
        assert any(a != b for a, b in zip(left["halted"], right["halted"], strict=True))
        assert any(any(flags) and not all(flags) for flags in one["halted"][: COMPARED - 1])


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_the_ranks_stay_bit_equal(runs):
    _, _, left, right = runs
    assert len(left["weights"]) == STEPS
    assert all(torch.equal(a, b) for a, b in zip(left["weights"], right["weights"], strict=True))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_held_out_sample_draws_by_its_place_in_the_split(two_ranks, tmp_path):
    """Fails if evaluation draws by rows of a rank: of five questions one has two, the other three."""
    ask(tmp_path, 1)
    questions, logits = torch.load(f"{tmp_path}/answers.1.0")
    parts = [torch.load(f"{two_ranks}/answers.2.{rank}") for rank in range(2)]
    place = {tuple(question.tolist()): number for number, question in enumerate(questions)}
    assert len(place) == 8
    for (asked, found), rows in zip(parts, ([0, 1, 5, 6], [2, 3, 4, 7]), strict=True):
        assert [place[tuple(question.tolist())] for question in asked] == rows
        torch.testing.assert_close(found, logits[rows], rtol=0, atol=1e-10)
