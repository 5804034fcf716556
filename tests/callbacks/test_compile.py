"""Compiled cells: the results of eager ones, few graphs, and no silent way back to eager execution."""

from __future__ import annotations

import os
import shutil

import lightning.pytorch as pl
import pytest
import torch
from helpers import SIZES, attention, batch, loader, mixer, module, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch._dynamo.testing import CompileCounterWithBackend

from recurlight import draw
from recurlight.callbacks import CompileCells, DepthCurriculum, RandomDepth, RandomWindow, compile_cells
from recurlight.errors import RecurlightError
from recurlight.halting import CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.truncation import ImplicitGradient, LastCycles, LastUpdates

COMPILER = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("clang++")
HANDFUL = 6  # graphs of one cell over training, validation and adaptive evaluation


@pytest.fixture(autouse=True)
def forget():
    """Start and end without compiled code."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


MODELS = {
    "trm": lambda: Recursion(
        SIZES, TwoLevelRefiner(mixer(), latent_steps=6), LastCycles(1), CorrectnessHalting(), cycles=3
    ),
    "hrm": lambda: Recursion(
        SIZES, TwoLevelRefiner(attention(), mixer(), 2), LastUpdates(2), QLearningHalting(), cycles=2
    ),
    "deq": lambda: Recursion(SIZES, SingleRefiner(mixer()), ImplicitGradient(), FixedHalting(), cycles=6),
}


def outcome(recursion: Recursion, backend=None) -> list[Tensor]:
    """Logits of one segment, and the gradients of a loss on them."""
    if backend is not None:
        compile_cells(recursion.refiner, backend)
    _, segment, score = recursion.segment(recursion.start(batch(8)), batch(8, seed=1))
    (segment.logits.square().mean() + score.square().sum()).backward()
    return [segment.logits.detach(), *(weight.grad for weight in recursion.parameters())]


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    """Largest relative difference in norm."""
    pairs = zip(one, other, strict=True)
    return max(((a - b).norm() / b.norm().clamp_min(1e-30)).item() for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [*((name, torch.float64, 1e-12) for name in MODELS), ("trm", torch.float32, 1e-5)],
)
def test_a_segment_is_that_of_eager_cells(name, dtype, tolerance):
    """Fails if `compile_cells` compiled another function than the cell, such as its first block."""
    eager = outcome(MODELS[name]().to(dtype))
    assert distance(outcome(MODELS[name]().to(dtype), "aot_eager"), eager) < tolerance


@pytest.mark.skipif(COMPILER is None, reason="Inductor's code for a CPU needs a C++ compiler")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_generated_code_computes_what_eager_cells_do(dtype, tolerance):
    """Fails if the generated code took shortcuts, such as computing in half precision."""
    eager = outcome(MODELS["trm"]().to(dtype))
    assert distance(outcome(MODELS["trm"]().to(dtype), "inductor"), eager) < tolerance


@pytest.mark.parametrize("gradient", [True, False])
def test_the_number_of_cycles_makes_no_graphs(gradient):
    """Fails if the segment or the refiner's cycle were compiled in place of its cells."""
    recursion, graphs = MODELS["trm"](), CompileCounterWithBackend("eager")
    compile_cells(recursion.refiner, graphs)
    carry = recursion.start(batch(4))
    with torch.set_grad_enabled(gradient):
        recursion.segment(carry, batch(4), cycles=2)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for cycles in range(1, 13):
                recursion.segment(carry, batch(4), cycles=cycles)
    assert graphs.frame_count == (2 if gradient else 1)


class Settings(pl.Callback):
    """What a run leaves behind after each step."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.weights.append(nn.utils.parameters_to_vector(pl_module.parameters()).detach().clone())


def fit(refiner, path, *extra, halting=None, precision="64-true"):
    """Train with averaged weights, validate on two sizes of batch, and test adaptively on others."""
    made = module(halting, refiner, LastCycles(1), eval_adaptive=True, eval_segments=6)
    record, average = Settings(), EMAWeightAveraging(decay=0.5, use_buffers=False)
    settings = {"max_steps": 4, "val_check_interval": 2, "precision": precision, "default_root_dir": path}
    run = trainer(**settings, callbacks=[record, average, *extra])
    train, val = [batch(8, seed=step) for step in range(4)], [batch(11, seed=1), batch(5, seed=2)]
    run.fit(made.float() if precision != "64-true" else made, loader(train), loader(val))
    run.save_checkpoint(path / "model.ckpt")
    (found,) = run.test(made, loader([batch(13, seed=1), batch(3, seed=2)]), verbose=False)
    return record.weights, found, torch.load(path / "model.ckpt", weights_only=True)["state_dict"]


def test_a_run_with_averaged_weights_is_the_eager_run(tmp_path):
    """Fails if cells were wrapped: the names in the state dict, or what is averaged, would change."""
    weights, found, saved = fit(TwoLevelRefiner(mixer(), latent_steps=2), tmp_path)
    graphs, refiner = CompileCounterWithBackend("aot_eager"), TwoLevelRefiner(mixer(), latent_steps=2)
    again, refound, resaved = fit(refiner, tmp_path, CompileCells(graphs))
    assert graphs.frame_count > 0
    assert max((a - b).abs().max().item() for a, b in zip(again, weights, strict=True)) < 1e-9
    assert refound == pytest.approx(found, abs=1e-9)
    assert resaved.keys() == saved.keys()
    assert all((resaved[key] - saved[key]).abs().max() < 1e-9 for key in saved)
    module(refiner=TwoLevelRefiner(mixer(), latent_steps=2)).load_state_dict(resaved)


class Shaken(nn.Module):
    """A cell that draws in every way, in evaluation too."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.drop = cell, draw.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(self.drop(x + 0.1 * draw.normal(x)))


@pytest.mark.parametrize(
    ("cells", "precision"),
    [((mixer(),), "32-true"), ((mixer(), mixer()), "bf16-mixed"), ((Shaken(mixer()),), "32-true")],
    ids=["one", "two", "drawing"],
)
def test_a_whole_run_takes_a_handful_of_graphs(tmp_path, cells, precision):
    """Fails if adaptive evaluation did not round its rows up, or if every stage compiled anew."""
    graphs = CompileCounterWithBackend("eager")
    fit(TwoLevelRefiner(*cells, latent_steps=2), tmp_path, CompileCells(graphs), precision=precision)
    assert 0 < graphs.frame_count <= HANDFUL * len(cells)


@pytest.mark.parametrize(
    "curriculum",
    [RandomWindow(most=8), RandomDepth(mean=4.0, most=9), DepthCurriculum(latent_steps=[1, 2, 3])],
)
def test_a_curriculum_makes_no_graphs(tmp_path, curriculum):
    """Fails if a depth, or the trial of one that is new, makes a graph of its own."""
    found = []
    for extra in ([], [curriculum]):
        graphs = CompileCounterWithBackend("eager")
        torch._dynamo.reset()
        fit(TwoLevelRefiner(mixer(), latent_steps=2), tmp_path, CompileCells(graphs), *extra)
        found.append(graphs.frame_count)
    assert found[1] <= found[0]


class Counting(nn.Module):
    """A cell whose graph differs at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Breaking(nn.Module):
    """A cell that reads a value back."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else -x


@pytest.mark.parametrize(
    ("cell", "error"), [(Counting, FailOnRecompileLimitHit), (Breaking, TorchDynamoException)]
)
def test_what_cannot_stay_compiled_is_loud(cell, error):
    """Fails if `fullgraph=True` is left out: both cells would run on in eager mode."""
    made = cell()
    compile_cells(SingleRefiner(made), "eager")
    with pytest.raises(error):
        [made(torch.ones(2)) for _ in range(20)]


def test_a_missing_compiler_is_named_before_the_first_step(monkeypatch):
    """Fails if the check is left out: Inductor would raise its own error in the first step."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        RecurlightError, match=r"no compiler 'no-such-compiler': install it, set CXX"
    ) as caught:
        trainer(max_steps=1, callbacks=[CompileCells()]).fit(module(), loader([batch(4)]))
    assert "\n" not in str(caught.value)


def test_another_module_is_refused():
    """Fails if the check is left out: an AttributeError would name an attribute of ours."""
    with pytest.raises(RecurlightError, match="not of LightningModule: call compile_cells"):
        CompileCells("eager").setup(trainer(), pl.LightningModule(), "fit")
