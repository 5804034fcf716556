"""The data contract: what a puzzle family must supply, and all that comes after parsing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from recurlight.checkpoints.contents import data_made_with
from recurlight.checkpoints.io import DurableCheckpointIO
from recurlight.checkpoints.trust import Trust
from recurlight.data.checks import checked, first_unanswered
from recurlight.data.puzzles import Augmentation, Splits, Variants
from recurlight.data.rules import Rules
from recurlight.data.serving import Serving
from recurlight.data.symmetry import Symmetry, SymmetryGroup, drawn_symmetries
from recurlight.draw.seeding import seed_of
from recurlight.errors import CheckpointMismatch, DataError, RecurlightError
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Drawable
from recurlight.rendering.wording import Wording
from recurlight.spec import Recorded, from_spec
from recurlight.types import Batch

__all__ = ["PuzzleData", "Splits"]


class PuzzleData(Recorded, Drawable, Serving, ABC):
    """Puzzles of one shape: a family supplies `load`, and where it likes `augmentation` and `looks`.

    Training draws from an endless stream: a fresh seeded permutation of the puzzles for every pass, each
    sample augmented on the fly. What batch `t` of the run holds depends on the seed alone, not on ranks,
    workers or interruptions, and a checkpoint in the middle of an epoch resumes at the next batch.
    Validation and test go through each puzzle once, in order, as it is; where the last batch leaves a rank
    without a puzzle, that rank gets one row of padding that has no supervised label. Prediction goes through
    the test puzzles in the same way; their answers need not be known.

    Items are `recurlight.types.Batch`. An *epoch* is only the period of validation and of logging. The
    command line reads `vocab_size`, `features`, `targets`, `seq_len`, `num_tasks` and `grid_shape` before
    `load`: they must be known when the object is made. Puzzles that already lie in a file need no class:
    `TableData` reads them.

    Args:
        grid_shape: Rows and columns of the grid, which cells with two axes take for positions; `L` is their
            product, and a plain sequence has one row.
        vocab_size: Vocabulary `V`, the pad token 0 included; 0 where neither questions nor answers are
            tokens.
        features: Numbers `F` in each cell of a question; 0 where questions are tokens.
        targets: Numbers `G` in each cell of an answer; 0 where answers are tokens.
        num_tasks: Number of tasks, 1 when the data has one.
        batch_size: Samples of a global training batch, divided over the ranks.
        eval_batch_size: Puzzles of a global evaluation batch; None for `batch_size`.
        num_workers: Processes that make batches beside the training process; 0 for none.
        seed: Seed of the order and of the augmentation; None for that of `seed_everything`, 0 where nothing
            set it.
        epoch_samples: Length of an epoch in samples, rounded up to whole batches; None for one pass over
            the training puzzles, but at least 100 batches.

    Raises:
        DataError: A size is not positive, or the batch cannot be divided over the ranks.

    Example:
        >>> import numpy as np
        >>> from recurlight.data import Puzzles, hold_out
        >>> class Echo(PuzzleData):
        ...     def __init__(self, size: int = 3, **settings):
        ...         super().__init__(vocab_size=5, grid_shape=(size, size), **settings)
        ...
        ...     def load(self):
        ...         grids = np.random.default_rng(self.seed).integers(1, 5, (100, self.seq_len))
        ...         return hold_out(Puzzles(grids, grids, np.zeros(100)), num_val=10, num_test=10, seed=0)
        >>> data = Echo(size=2, batch_size=8)
        >>> data.seq_len, len(data.splits.train.inputs), next(iter(data.train_dataloader())).inputs.shape
        (4, 80, torch.Size([8, 4]))
    """

    by_task: ClassVar[bool] = False
    """Training takes all puzzles of a task together, so that augmentation can vary it as a whole."""

    def __init__(
        self,
        *,
        grid_shape: tuple[int, int],
        vocab_size: int = 0,
        features: int = 0,
        targets: int = 0,
        num_tasks: int = 1,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
        epoch_samples: int | None = None,
    ) -> None:
        super().__init__()
        eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        _positive(batch_size=batch_size, eval_batch_size=eval_batch_size)
        _not_negative(vocab_size=vocab_size, features=features, targets=targets, num_workers=num_workers)
        _positive(num_tasks=num_tasks, **({} if features and targets else {"vocab_size": vocab_size}))
        if min(grid_shape) < 1:
            raise DataError(f"grid_shape is {grid_shape}: give rows and columns, 1 or more each")
        if epoch_samples is not None:
            _positive(epoch_samples=epoch_samples)
        self.vocab_size, self.features, self.targets = vocab_size, features, targets
        self.grid_shape = grid_shape
        self.seq_len = grid_shape[0] * grid_shape[1]
        self.num_tasks = num_tasks
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed = seed_of(self, seed)
        self.epoch_samples = epoch_samples
        self._splits: Splits | None = None

    split_by: tuple[str, ...] = ("seed",)
    """Settings that decide which puzzles are held out and how they are judged.

    A model that was trained under others is evaluated with a warning, for it may have seen the puzzles.
    Counts belong to them where a change moves puzzles of one part into another. See `divided_otherwise`.
    """

    tasks_apart: bool = True
    """Whether a model tells tasks apart by their numbers; otherwise these are for metrics alone."""

    counted_in: ClassVar[str] = "puzzles"
    """What its samples are called where they are counted."""

    next_token: bool = False
    """Whether the answer of a position is the next one's question, which a model must not see before."""

    prediction_writer: ClassVar[str] = "recurlight.callbacks.PredictionWriter"
    """Class path of the callback that writes what `recurlight predict` answers."""

    def _refusal(self) -> type[RecurlightError]:
        return DataError

    @abstractmethod
    def load(self) -> Splits:
        """Parse or make the puzzles; every rank calls it, after `prepare_data` ran on one of them.

        The arrays hold whole numbers: tokens below `vocab_size`, `IGNORE` in labels where nothing is
        supervised, tasks below `num_tasks`; or, with `features` and `targets`, floats, `(n, L, F)` and
        `(n, L, G)`, NaN in labels where nothing is supervised. Rows of `test` of which no label is supervised
        are questions without a known answer, which can be predicted and not scored; such a question must hold
        something other than 0. All of it is checked, once.

        Raises:
            DataError: With file, row and reason.
        """

    def augmentation(self) -> Augmentation | None:
        """Return the function that varies training puzzles, None for none; it must be picklable."""
        return None

    def symmetry_group(self) -> SymmetryGroup | None:
        """Return the function that draws symmetries of puzzles, None where none are known.

        Search asks a question under several of them. They are there whether or not training is augmented.
        """
        return None

    def symmetries(self, batch: Batch, seed: int, chain: int) -> Symmetry:
        """Draw a symmetry for each row of a batch, by `symmetry_group`.

        Draw number `chain` of a question is the same in every batch, at every place, on every device.

        Args:
            batch: Questions, `(B, L)` tokens.
            seed: Any integer.
            chain: Number of the draw, from 0; each is random, the first too.

        Raises:
            DataError: These data know no symmetries, or draw what cannot be undone.
        """
        group, name = self.symmetry_group(), type(self).__name__
        if group is None:
            raise DataError(
                f"{name} knows no symmetries of its puzzles: search with --search.noise 0.3 "
                "in their place, or write its method 'symmetry_group'"
            )
        where = f"{name}.symmetry_group"
        return drawn_symmetries(group, batch, seed, chain, vocab=self.vocab_size, where=where)

    def rules(self) -> Rules | None:
        """Return what tells right answers from wrong ones without knowing the right one; None for nothing."""
        return None

    def wording(self) -> Wording | None:
        """Return how questions and answers are written, by `looks`; None where they are no tokens.

        Checkpoints keep it, so that a trained model can be asked without these data; see `recurlight.load`.
        """
        return None if self.features or self.targets else Wording.of(self.looks, self.vocab_size)

    def names(self) -> dict[str, Any]:
        """Return what the numbers stand for where only the training data tell, as plain data.

        `tasks` are the tasks in the order of their numbers, `symbols` those of tokens. A checkpoint keeps a
        hash of each, and is refused on data that number otherwise. Nothing by default.
        """
        return {}

    def divided_otherwise(self, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
        """Name the settings by which a model may be asked here what it was trained on; `split_by` by default.

        Args:
            then: Arguments of the constructor of the data that the model was trained on.
            now: Those of these data.
        """
        return [name for name in self.split_by if name in then and name in now and then[name] != now[name]]

    def task_metric(self, split: str) -> TaskMetric | None:
        """Return what this task measures beside exact accuracy, a new metric; None for nothing.

        Args:
            split: `val` or `test`.
        """
        return None

    def variants(self, split: str) -> Variants | None:
        """Return the variants in which evaluation asks every puzzle; None for each as it is.

        Args:
            split: `val` or `test`.
        """
        return None

    @property
    def splits(self) -> Splits:
        """The puzzles, loaded and checked on first use."""
        if self._splits is None:
            self._splits = self._checked(self.load())
        return self._splits

    def _checked(self, splits: Any) -> Splits:
        """See that `load` did its part; only test puzzles, which can be predicted, may lack answers."""
        where = f"{type(self).__name__}.load"
        if not isinstance(splits, Splits):
            raise DataError(f"{where} returned a {type(splits).__name__}: return Splits(train, val, test)")
        sizes = {"vocab": self.vocab_size, "length": self.seq_len, "tasks": self.num_tasks}
        sizes |= {"features": self.features, "targets": self.targets}
        names = [f"{where}: {name}" for name in splits._fields]
        found = zip(splits, names, (True, True, False), strict=True)
        return Splits(*(checked(part, name, answered=known, **sizes) for part, name, known in found))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's, without what only pickles need
        cls, checkpoint_path: str | Path, trust: Sequence[str] = (), **changes: Any
    ) -> Self:
        """Make the data that the training of a checkpoint had.

        Args:
            checkpoint_path: Path of the file.
            trust: Packages whose classes the checkpoint may name beside recurlight's and your own.
            **changes: Arguments of the constructor that are not taken from the checkpoint.

        Raises:
            CheckpointError: The file was cut off or changed.
            UntrustedCode: It names code that it may not import.
            CheckpointMismatch: It does not tell its data, or has others than these.
        """
        made = data_made_with(DurableCheckpointIO().load_checkpoint(checkpoint_path, weights_only=True))
        data = made and from_spec(made | {"init_args": made["init_args"] | changes}, Trust(trust))
        if not isinstance(data, cls):
            found = made["class_path"] if made else "no data"
            raise CheckpointMismatch(f"{checkpoint_path} tells of {found}: it cannot make {cls.__name__}")
        return data

    def prepare_data(self) -> None:
        """Load the puzzles on one process of each node, before the others find them made or downloaded."""
        _ = self.splits

    def setup(self, stage: str | None = None) -> None:
        """Load the puzzles, once.

        Raises:
            DataError: They cannot be used, there are none to train on or to score, or their answers are not
                known and they cannot be scored.
        """
        name, splits = type(self).__name__, self.splits
        place = {"fit": 0, "validate": 1, "test": 2}.get(stage or "")
        if place is not None and not len(splits[place].inputs):
            kind, flag = ("training", "validation", "test")[place], f"data.num_{splits._fields[place]}"
            raise DataError(f"{name} has no {kind} puzzles: set {flag} to 1 or more, or give a file of them")
        row = first_unanswered(splits.test.labels) if stage == "test" else None
        if row is not None:
            raise DataError(
                f"{name} cannot score test puzzle number {row + 1}, whose answer is not known: "
                "use 'recurlight predict', or give a file with all answers"
            )


def _not_negative(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 0:
            raise DataError(f"{name} is {size}: set data.{name} to 0 or more")


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise DataError(f"{name} is {size}: set data.{name} to 1 or more")
