"""Who races in `race.py`: our quickstart and models of other people's libraries, driven alike.

Only torch is imported before the library itself, for each runs in an environment of its own. None of the
others' code is here, only what drives it.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

VOCABULARY, WIDTH, BATCH = 8, 64, 32
"""What all have; updates are counted in so many rows, whatever the batch."""

Arrays = dict[str, Tensor]


class Clock(Protocol):
    """What a racer tells how far it is."""

    def start(self) -> None:
        """Training begins, all is set up."""

    def tick(self, last: bool) -> None:
        """An optimizer step is over, perhaps the last one."""


class Samples(Dataset[Any]):
    """The exported stream of training samples, from its start again when it is over."""

    def __init__(self, arrays: Arrays, of: Callable[[Tensor, Tensor], Any]) -> None:
        self.questions, self.answers, self.of = arrays["train_inputs"], arrays["train_labels"], of

    def __len__(self) -> int:
        return 5 * len(self.questions)  # no more, for a trainer may shuffle them all

    def __getitem__(self, index: int) -> Any:
        index %= len(self.questions)
        return self.of(self.questions[index], self.answers[index])


class Racer(ABC):
    """One library: how it trains, and how its averaged weights answer."""

    network: nn.Module
    """What one update applies."""

    @abstractmethod
    def train(self, clock: Clock) -> None:
        """Train, and tell the clock."""

    @abstractmethod
    def begin(self, questions: Tensor) -> Any:
        """Return what averaged weights begin with, a row for each question."""

    @abstractmethod
    def segment(self, state: Any) -> tuple[Any, Tensor, Tensor]:
        """Think for a segment; also the logits, and whether the model would stop by itself."""

    def rows(self, state: Any, rows: Tensor) -> Any:
        """Return some rows of a state."""
        return tuple(part[rows] for part in state)


class Recurlight(Racer):
    """A recipe as it is shipped, by the command line."""

    def __init__(self, arrays: Arrays, seed: int, given: dict[str, str]) -> None:
        recipe = given.pop("recipe", "quickstart")
        quiet = ("logger", "enable_checkpointing", "enable_progress_bar")
        self.arguments = ["--config", recipe, "--seed_everything", str(seed), "--data.seed", "0"]
        self.arguments += [*(f"--trainer.{one}=false" for one in quiet), "--trainer.limit_val_batches=0"]
        self.arguments += [f"--{name}={value}" for name, value in given.items()]

    def train(self, clock: Clock) -> None:
        """Run `recurlight fit` with one more callback."""
        from recurlight.cli.app import run

        def fit(cli: Any) -> None:
            (self.network,) = set(cli.model.recursion.refiner.cells().values())
            cli.trainer.callbacks.append(ticking(clock))
            self.averaging = next(c for c in cli.trainer.callbacks if "WeightAveraging" in type(c).__name__)
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)

        run("fit", self.arguments, fit)

    def begin(self, questions: Tensor) -> Any:
        """Start a carry."""
        from recurlight import Batch

        self.recursion = self.averaging._average_model.module.recursion.eval()
        return self.recursion.start(Batch(questions, questions, questions[:, 0] * 0))

    def segment(self, state: Any) -> tuple[Any, Tensor, Tensor]:
        """Run a segment."""
        carry, segment, score = self.recursion.segment(state, state.batch)
        return carry, segment.logits, self.recursion.halting.should_halt(score, carry.age)

    def rows(self, state: Any, rows: Tensor) -> Any:
        """Take rows of the carry."""
        from recurlight import slots

        return slots.take(rows, state)


def chosen(settings: dict[str, float], given: dict[str, str]) -> dict[str, float]:
    """Return settings, some of them given.

    Raises:
        SystemExit: One is given that there is not.
    """
    unknown = given.keys() - settings.keys()
    if unknown:
        raise SystemExit(f"--set {min(unknown)}: give one of {', '.join(settings)}")
    return settings | {name: float(value) for name, value in given.items()}


class NanoTrm(Racer):
    """Its module as its recipe for 6x6 Sudoku has it, in Lightning's trainer, with its own averaging."""

    def __init__(self, arrays: Arrays, seed: int, given: dict[str, str]) -> None:
        from src.nn.models.trm import TRMModule

        settings = {"lr": 1e-3, "warmup": 100, "cycles": 3, "latent_steps": 2, "layers": 2, "segments": 16}
        self.given = chosen(settings | {"decay": 0.995, "weight_decay": 1.0, "batch": BATCH}, given)
        self.batch = int(self.given["batch"])
        torch.manual_seed(seed)
        self.model = TRMModule(
            hidden_size=WIDTH, num_layers=int(self.given["layers"]), H_cycles=int(self.given["cycles"]),
            L_cycles=int(self.given["latent_steps"]), N_supervision=int(self.given["segments"]),
            ffn_expansion=4, learning_rate=self.given["lr"], weight_decay=self.given["weight_decay"],
            warmup_steps=int(self.given["warmup"]), puzzle_emb_dim=0, puzzle_emb_len=0, pos_emb_type=None,
            use_mlp_t=True, lr_min_ratio=0.01, vocab_size=VOCABULARY, num_puzzles=1, batch_size=self.batch,
            pad_value=0, seq_len=arrays["val_inputs"].shape[1],
        )  # fmt: skip
        self.averaged = copy.deepcopy(self.model).eval()
        self.data, self.network = Samples(arrays, self._sample), self.model.lenet

    @staticmethod
    def _sample(question: Tensor, answer: Tensor) -> dict[str, Tensor]:
        return {"input": question, "output": answer, "puzzle_identifiers": torch.tensor(0)}

    def train(self, clock: Clock) -> None:
        """Fit its module."""
        from lightning import LightningDataModule, Trainer
        from src.nn.callbacks.ema import EMACallback

        class Data(LightningDataModule):
            batch_size, train_dataset = self.batch, self.data

            def train_dataloader(self) -> Any:
                return DataLoader(self.train_dataset, batch_size=self.batch_size)

        self.average = EMACallback(decay=self.given["decay"])
        quiet: dict[str, Any] = dict.fromkeys(
            ["logger", "enable_checkpointing", "enable_progress_bar"], False
        )
        callbacks = [self.average, ticking(clock)]
        Trainer(max_epochs=1, accelerator="cpu", callbacks=callbacks, **quiet).fit(
            self.model, datamodule=Data()
        )

    def begin(self, questions: Tensor) -> Any:
        """Copy the averages, and start."""
        for name, weight in self.averaged.named_parameters():
            weight.data.copy_(self.average.shadow[name])
        shape = (*questions.shape, WIDTH)
        return questions, self.averaged.z_H_init.expand(shape), self.averaged.z_L_init.expand(shape)

    def segment(self, state: Any) -> tuple[Any, Tensor, Tensor]:
        """Run its inner loop."""
        from src.nn.models.trm import TRMInnerCarry

        question, answer, latent = state
        batch = {"input": question, "puzzle_identifiers": question[:, 0] * 0}
        carry, logits, score = self.averaged.inner_forward(TRMInnerCarry(answer, latent), batch)
        return (question, carry.z_H, carry.z_L), logits, score > 0


class TinyRecursiveModel(Racer):
    """Its model with its mixer, in its own trainer."""

    def __init__(self, arrays: Arrays, seed: int, given: dict[str, str]) -> None:
        import tiny_recursive_model as theirs

        settings = {"lr": 5e-3, "warmup": 100, "cycles": 3, "latent_steps": 2, "segments": 4, "batch": BATCH}
        others = {"channels": 4.0, "decay": 0.95, "weight_decay": 0.1, "cosine": 1200.0, "halting": 0.1}
        self.given = chosen(settings | others, given)
        torch.manual_seed(seed)
        mixer = theirs.MLPMixer1D(
            dim=WIDTH, depth=2, seq_len=arrays["val_inputs"].shape[1],
            expansion_factor_token=self.given["channels"],  # of the layer that mixes channels
        )  # fmt: skip
        self.model = theirs.TinyRecursiveModel(
            dim=WIDTH, num_tokens=VOCABULARY, network=mixer,
            num_refinement_blocks=int(self.given["cycles"]),
            num_latent_refinements=int(self.given["latent_steps"]),
            halt_loss_weight=self.given["halting"],
        )  # fmt: skip
        self.network = self.model.network
        # Its trainer takes so many steps on the same puzzles, and divides the rate by them and by the batch.
        steps, batch = int(self.given["segments"]), int(self.given["batch"])
        self.trainer = theirs.Trainer(
            self.model, Samples(arrays, lambda *sample: sample), batch_size=batch, epochs=1, cpu=True,
            learning_rate=self.given["lr"] * batch * steps, weight_decay=self.given["weight_decay"],
            max_recurrent_steps=steps, warmup_steps=int(self.given["warmup"]),
            ema_decay_rate=self.given["decay"],  # which it applies every ten steps
        )  # fmt: skip
        if self.given["cosine"]:  # its own rate is constant, as with 0
            self.trainer.scheduler.scheduler.lr_lambdas = [self._annealed]

    def _annealed(self, step: int) -> float:
        """Return the share of the rate in a step, down along half a cosine to 2 % at step `cosine`."""
        warm, progress = (step + 1) / self.given["warmup"], min(1.0, step / self.given["cosine"])
        return min(warm, 0.02 + 0.49 * (1 + math.cos(math.pi * progress)))

    def train(self, clock: Clock) -> None:
        """Run its trainer, which knows no callbacks: a step is over when the average is updated."""
        update = self.trainer.ema_model.update

        def then() -> None:
            update()
            clock.tick(False)

        self.trainer.ema_model.update = then
        clock.start()
        self.trainer()

    def begin(self, questions: Tensor) -> Any:
        """Start."""
        self.averaged = self.trainer.ema_model.ema_model.eval()
        states = (state.expand(*questions.shape, -1) for state in self.averaged.get_initial())
        return questions, *states

    def segment(self, state: Any) -> tuple[Any, Tensor, Tensor]:
        """Run its forward pass."""
        question, *states = state
        answer, latent, logits, halt = self.averaged(question, *states)
        return (question, answer, latent), logits, halt >= 0.5


RACERS: dict[str, Callable[[Arrays, int, dict[str, str]], Racer]] = {
    "recurlight": Recurlight,
    "nano_trm": NanoTrm,
    "tiny_recursive_model": TinyRecursiveModel,
}


def ticking(clock: Clock) -> Any:
    """Return a callback for Lightning that tells the clock."""
    from lightning.pytorch import Callback

    class Ticking(Callback):
        def on_train_start(self, *_: Any) -> None:
            clock.start()

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            clock.tick(trainer.global_step == trainer.max_steps)

    return Ticking()
