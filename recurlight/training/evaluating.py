"""Validation, test and prediction of a model, which change nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from recurlight import draw
from recurlight.codec.task_table import forget_tasks, tasks_at_mean
from recurlight.draw.seeding import seeded_evaluation
from recurlight.losses import SequenceLoss
from recurlight.metrics.evaluation import Evaluation, Measured
from recurlight.recursion.checks import check_batch
from recurlight.recursion.driver import Recursion
from recurlight.search import Found, Search, SearchMetric, SearchReport
from recurlight.slots import require_batch
from recurlight.supervision import Supervision
from recurlight.training.ahead import Ahead
from recurlight.training.attached import attached_data
from recurlight.training.contract import hold_to_contract
from recurlight.training.fingerprint import Fingerprint, Weights, fingerprint
from recurlight.training.naming import digests, others
from recurlight.training.reloadable import Reloadable, class_path
from recurlight.training.results import publish
from recurlight.training.run import Run
from recurlight.types import Batch, Prediction

__all__ = ["Evaluating", "as_evaluated"]


class Evaluating(Reloadable):
    """The half of `RecursiveModule` that measures and answers; the other half trains.

    Every evaluation counts anew, draws as a function of the seed and the batch, and compares what the numbers
    of tasks and tokens stand for with what they stood for in training.
    """

    recursion: Recursion
    loss: SequenceLoss
    supervision: Supervision
    evaluation: Evaluation
    eval_cycles: int | None
    eval_segments: int | None
    eval_adaptive: bool | None
    eval_seed: int
    run: Run

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        hold_to_contract(cls)

    def __init__(self) -> None:
        super().__init__()
        self.validated_step: int | None = None
        self.measured: Measured | None = None
        self.search: Search | None = None
        """How `test` and `predict` search for answers; None for one run of the model."""
        self.searched: SearchMetric | None = None
        self.report: SearchReport | None = None
        self.loaded = Weights()
        self.names: dict[str, str] = {}
        self.curricula: dict[str, Any] = {}
        """Settings of what changed the composition with the step in training, by class."""
        self.other_tasks = False
        self._ahead = Ahead()
        self._eval_slots = 0  # of a global batch of evaluation; 0 where the data do not tell

    def _apart(self) -> bool:
        """Tell whether the numbers of tasks are for the model; data that do not tell have them for it."""
        data = attached_data(self.trainer)
        return data is None or data.tasks_apart

    def _check_names(self) -> None:
        """Insist that numbers stand for what they did in training; a new training may give them others."""
        trains = self.trainer.state.fn == "fit"
        anew = trains and not self.trainer.ckpt_path
        here, prefix = digests(attached_data(self.trainer)), self.recursion.sizes.prefix
        self.other_tasks = others(self.recursion, self.names, here, told_apart=prefix > 0, anew=anew)
        self._compare_data()
        if trains:  # what is evaluated changes nothing
            self._note_data()
            if self.other_tasks:
                forget_tasks(self.recursion)
            self.names, self.other_tasks = {**({} if anew else self.names), **here}, False

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Evaluate one batch on slots of its own; the training carry is not touched."""
        with self._evaluating(batch, batch_idx):
            predictions = self.recursion.unroll(
                batch, self.evaluation.segments, bool(self.eval_adaptive), self.eval_cycles
            )
            self.evaluation.update(predictions, batch, self.loss)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Evaluate one batch."""
        if self.searched is None:
            self.validation_step(batch, batch_idx)
            return
        with self._evaluating(batch, batch_idx):
            found = self._found(self.searched.search, batch, bool(self.eval_adaptive))
            self.searched.update(found, batch, self.loss)
            self.evaluation.show_task(found.prediction(), batch, self.loss)

    def forward(self, batch: Batch) -> Prediction:
        """Answer a batch of questions; see `Recursion.solve`."""
        adaptive = self.eval_adaptive is not False
        return self.recursion.solve(batch, self.eval_segments, adaptive, self.eval_cycles)

    def predict_step(self, batch: Batch, batch_idx: int) -> Prediction:
        """Answer one batch; the questions of a data module are answered ahead, with no slot idle."""
        with self._evaluating(batch, batch_idx):
            if self.search is not None:
                return self._found(self.search, batch, self.eval_adaptive is not False).prediction()
            if batch_idx == 0:
                self._begin(batch)
            found = self._ahead.answer(batch)
            prediction: Prediction = self(batch) if found is None else found
        return prediction

    def _begin(self, first: Batch) -> None:
        """Answer ahead from now on, unless a class has an answer of its own or rows go on to the end."""
        self._ahead.end()
        if type(self).forward is Evaluating.forward and self.eval_adaptive is not False:
            self._ahead.begin(self.trainer, self.recursion, first, self.eval_segments, self.eval_cycles)

    def on_predict_end(self) -> None:
        """Let go of what the prediction held."""
        self._ahead.end()

    def _found(self, search: Search, batch: Batch, adaptive: bool) -> Found:
        """Search for the answers of one batch."""
        how = self.eval_segments, adaptive, self.eval_cycles
        return search.solve(self.recursion, batch, *how, attached_data(self.trainer))

    @contextmanager
    def _evaluating(self, batch: Batch, batch_idx: int) -> Iterator[None]:
        """Check the first batch; let parts draw as a function of seed and place, and leave training alone."""
        if batch_idx == 0:
            require_batch(batch, self.recursion.sizes, self)
            check_batch(batch, self.recursion.sizes, self._apart())
            self._check_names()
            data = attached_data(self.trainer)
            self._eval_slots = data.eval_batch_size if data else 0
        with as_evaluated(self, batch, batch_idx, self._eval_slots):
            yield

    def on_validation_epoch_start(self) -> None:
        """Begin to count anew, whatever became of the evaluation before."""
        self.evaluation.reset()
        self.evaluation.segments = self.eval_segments or self.recursion.max_segments
        self.measured = self.searched = self.report = None

    def on_test_epoch_start(self) -> None:
        """Begin to count anew."""
        self.on_validation_epoch_start()
        if self.search is not None:
            self.searched = SearchMetric(self.search).to(self.device)
            self.evaluation.segments = self.search.segments or self.evaluation.segments

    def on_validation_epoch_end(self) -> None:
        """Log the figures, and print the table unless training goes on."""
        self._summarize("val", show=self.trainer.state.fn == "validate")
        if not self.trainer.sanity_checking:
            self.validated_step = self.global_step

    def on_test_epoch_end(self) -> None:
        """Log the figures and print the table."""
        self._summarize("test", show=True)

    def _summarize(self, stage: str, show: bool) -> None:
        self.measured = self._measured(stage)  # on every rank: it sums over them
        figures = {f"{stage}/{name}": value for name, value in self.measured.figures.items()}
        self.log_dict(figures, sync_dist=True, reduce_fx="max")  # every rank has summed and has the same
        self.evaluation.reset()  # what was counted, such as votes, takes memory
        if show:
            self.show_table()

    def _measured(self, stage: str) -> Measured:
        """Return what the last pass came to, with a search or without."""
        if self.searched is None:
            return self.evaluation.measured(stage)
        self.report = report = self.searched.report()
        self.searched.reset()
        measured = Measured(stage, report.questions, report.figures(), report.text())
        return self.evaluation.with_task(measured)

    def show_table(self, say: Callable[[str], None] | None = None) -> None:
        """Print and keep, on rank zero, the last evaluation and its fingerprint; see `publish`.

        After a training the figures of the truncation, such as residuals of its solves, are told as well.
        """
        if self.measured and self.trainer.is_global_zero:
            publish(self.measured, self._fingerprint(self.measured), say or self.print, self.report)
            if figures := self.recursion.truncation.diagnostics():
                told = ", ".join(f"{name} {value.item():.2g}" for name, value in figures.items())
                (say or self.print)(f"last training step: {told}")

    def _fingerprint(self, measured: Measured) -> Fingerprint:
        return fingerprint(
            self.trainer,
            self.recursion,
            measured,
            self.loaded,
            model=class_path(type(self)),
            supervision=self.supervision,
            curricula=self.curricula,
            trained=self.run.ended_in(self.trainer),
            cycles=self.eval_cycles or self.recursion.cycles,
            adaptive=self._stops(),
            eval_seed=self.eval_seed,
            search=self.report.search if self.report else "",
        )

    def _stops(self) -> bool:
        """Tell whether samples stopped when they were done, where figures were measured."""
        needed = self.searched is not None and self.searched.search.selector.needs_stops()
        return needed or bool(self.eval_adaptive)

    def summary_is_stale(self) -> bool:
        """Tell whether the weights have changed since the last complete validation."""
        return self.validated_step != self.global_step


@contextmanager
def as_evaluated(model: Evaluating, batch: Batch, batch_idx: int, slots: int = 0) -> Iterator[None]:
    """Let parts draw as they do in the evaluation of a batch, and tasks be those that it takes.

    Args:
        model: Any `RecursiveModule`.
        batch: What is evaluated, on its device.
        batch_idx: Number of the batch in the split.
        slots: Slots of a global batch; 0 for those of this one.
    """
    tasks = tasks_at_mean(model.recursion) if model.other_tasks else nullcontext()
    seeded = seeded_evaluation(model.eval_seed, batch_idx, model.device)
    with tasks, draw.of_batch(len(batch.task), slots), seeded:
        yield
