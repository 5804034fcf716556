"""The page of what papers change: every row's lines run from a folder of their own, and are in effect."""

import importlib
import re
import runpy
import shlex
import shutil
import sys
import types
from contextlib import contextmanager
from copy import deepcopy
from typing import NamedTuple

import pytest
import torch
from torch import nn

from docs.test_pages import DOCS
from recurlight import (
    Batch,
    DampedRefiner,
    DeepSupervision,
    Denoising,
    ExpectedLoss,
    FirstToHalt,
    JacobianPenalty,
    MixerCell,
    Moment,
    OneSegment,
    PonderLoss,
    RandomDepth,
    RandomWindow,
    Recursion,
    RecursiveModule,
    Search,
    SplitOptimizer,
    TwoLevelRefiner,
    TwoLevelState,
    WinnerTakesAll,
    draw,
    load_recursion,
)
from recurlight.__main__ import main
from recurlight.cli.app import RecurlightCLI
from recurlight.testing import check_cell, check_supervision

PAGE = (DOCS / "papers.md").read_text("utf-8")
MOST = 40
TINY = "--model.width 16 --model.eval_segments 2 --data.batch_size 4 --data.epoch_samples 32 " + (
    "--trainer.accelerator cpu --trainer.enable_progress_bar false"
)
PUZZLES = "--data.num_train 8 --data.num_val 4 --data.num_test 4"
TABLE = "--data.num_val 4 --data.num_test 4"


class Block(NamedTuple):
    language: str
    file: str
    code: str


def sections():
    """Return the blocks of each section, by the anchor of its heading."""
    found = {}
    for part in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        anchor = re.sub(r"\W+", "-", part.split("\n")[0].lower())
        code = re.findall(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', part, re.M | re.S)
        found[anchor] = [Block(*block) for block in code]
    return found


SECTIONS = sections()
ROWS = {
    anchor: where
    for where, anchor in re.findall(r"^\|.*\| ([^|]+) \| \[below\]\(#([\w-]+)\) \|$", PAGE, re.M)
}


class Seen(NamedTuple):
    """One segment of a run."""

    training: bool
    gradient: bool
    through: bool
    cycles: int
    rows: int
    told: bool
    updates: int
    """Updates that carry gradient."""


class Ran(NamedTuple):
    """What a section's blocks did."""

    out: str
    names: dict
    """Of the Python that is no file."""
    runs: list
    """Each command line, and the weights with which it began."""
    segments: list[Seen]

    @property
    def model(self) -> RecursiveModule:
        return self.runs[-1][0].model

    @property
    def optimizer(self):
        return self.runs[-1][0].trainer.optimizers[0]

    def training(self):
        return [segment for segment in self.segments if segment.training]

    def evaluation(self):
        return [segment for segment in self.segments if not segment.training]


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    """The checkpoint of a run of the recipe that the page's commands begin with."""
    folder = tmp_path_factory.mktemp("last")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        depth = "--model.max_segments 2 --model.cycles 2 --model.refiner.latent_steps 1 --trainer.max_steps 2"
        words = f"fit --config trm_sudoku --config small {depth} {PUZZLES} {TINY}"
        assert main(words.split()) == 0
    return folder / "runs/trm_sudoku/version_0/checkpoints/last.ckpt"


@contextmanager
def watching(runs, segments):
    """Note every command line that runs, and every segment."""
    updates = []
    run, segment, update = RecurlightCLI._run_subcommand, Recursion.segment, TwoLevelRefiner.update

    def running(self, subcommand):
        runs.append((self, deepcopy(self.model.state_dict())))
        run(self, subcommand)

    def updating(self, *arguments):
        updates.append(torch.is_grad_enabled())
        return update(self, *arguments)

    def reasoning(self, carry, fresh, cycles=None, *, through=False):
        updates.clear()
        result = segment(self, carry, fresh, cycles, through=through)
        gradient, told = torch.is_grad_enabled(), carry.guess is not None
        cycles, rows = cycles or self.cycles, len(carry.age)
        segments.append(Seen(self.training, gradient, through, cycles, rows, told, sum(updates)))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecurlightCLI, "_run_subcommand", running)
        patch.setattr(Recursion, "segment", reasoning)
        patch.setattr(TwoLevelRefiner, "update", updating)
        yield


@pytest.fixture
def lines(tmp_path, monkeypatch, last, capsys):
    """A function that runs the blocks of a section, in a folder with nothing but a checkpoint."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(last.parents[4] / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copy(last, tmp_path / "last.ckpt")

    def run(anchor, *changes, steps=2):
        names, runs, segments = {}, [], []
        for block in SECTIONS[anchor]:
            code = block.code
            for before, after in changes:
                code = code.replace(before, after)
            if block.file:
                (tmp_path / block.file).write_text(code)
            elif block.language == "python":
                module = types.ModuleType("my_page")
                exec(code, vars(module))
                names |= vars(module)
            else:
                with watching(runs, segments):
                    for line in code.replace("\\\n", " ").splitlines():
                        execute(shlex.split(line), steps)
        return Ran(capsys.readouterr().out, names, runs, segments)

    yield run
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def execute(words, steps):
    """Run a command of the page, on the smallest data."""
    if words[0] == "python":
        runpy.run_path(words[1])
        return
    assert words[0] == "recurlight"
    sizes = f"{TINY} {TABLE if 'TableData' in words else PUZZLES} --trainer.max_steps {steps}"
    assert main([*words[1:], *sizes.split()]) == 0


def test_every_row_has_its_lines_and_its_test():
    """Fails when a row has no section, a section no row, and when either is not tested."""
    untabled = [line for line in PAGE.splitlines() if line.startswith("| ") and "[below]" not in line]
    assert untabled == ["| idea | paper | where | |", "| --- | --- | --- | --- |"]
    assert list(ROWS) == list(SECTIONS)
    assert [anchor for anchor, blocks in SECTIONS.items() if not blocks] == []
    before, _, _ = PAGE.partition("\n## ")
    assert "```" not in before
    assert [anchor for anchor in ROWS if f"test_{anchor.replace('-', '_')}" not in globals()] == []


def test_every_block_is_found():
    """Fails when a block is written in a form that is not run."""
    assert PAGE.count("\n```") == 2 * sum(map(len, SECTIONS.values()))
    assert {block.language for blocks in SECTIONS.values() for block in blocks} == {"python", "bash", "yaml"}


@pytest.mark.parametrize("anchor", ROWS)
def test_a_row_says_how_much_it_takes(anchor):
    """Fails when a row has other lines than it says, Python where flags would do, or too much of it."""
    blocks = SECTIONS[anchor]
    commands = [line for block in blocks if block.language == "bash" for line in block.code.splitlines()]
    data = [line.split()[1] for line in commands if line.startswith("python ")]
    count = {
        language: sum(b.code.count("\n") for b in blocks if b.language == language and b.file not in data)
        for language in ("python", "yaml")
    }
    said = {"python": "Python, {} lines", "yaml": "YAML, {} lines"}
    says = [said[language].format(number) for language, number in count.items() if number]
    assert ROWS[anchor] == (says[0] if says else "flags")
    assert len(says) <= 1
    assert sum(block.code.count("\n") for block in blocks if block.language == "python") <= MOST


def zeros():
    return torch.zeros(64, 16, 32)


def test_noise_per_update(lines):
    """Fails when the noise has another size, is the same twice, or touches what is not written."""
    ran = lines("noise-per-update")
    refiner = ran.model.recursion.refiner
    assert (refiner.damping, refiner.noise, refiner.stationary) == (0.95, 0.02, False)
    noisy = DampedRefiner(TwoLevelRefiner(nn.Identity()), 0.95, noise=0.5)
    state = TwoLevelState(zeros(), zeros())
    first, second = (noisy.update(state, zeros(), "latent") for _ in range(2))
    assert first.answer is state.answer
    assert first.latent.std().item() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(first.latent, second.latent)


def test_random_starts(lines):
    """Fails when levels or samples begin alike, or as the number of ranks has it."""
    refiner = lines("random-starts").model.recursion.refiner
    assert (refiner.damping, refiner.random_start, refiner.stationary) == (1.0, 1.0, True)
    question = torch.zeros(64, 16, 16)
    torch.manual_seed(0)
    whole = refiner.initial_state(question)
    torch.manual_seed(0)
    with draw.as_rank(1, 2):
        half = refiner.initial_state(question[:32])
    assert all(torch.equal(part, level[32:]) for part, level in zip(half, whole, strict=True))
    assert not torch.equal(whole.answer, whole.latent)
    assert not torch.equal(whole.answer[0], whole.answer[1])
    assert whole.latent.std().item() == pytest.approx(1, rel=0.05)


def test_dropout(lines):
    """Fails when nothing is dropped in training, or something in evaluation."""
    cell, x = lines("dropout").model.recursion.refiner.latent, torch.ones(8, 16, 16)
    assert (type(cell).__name__, cell.dropout) == ("DroppingCell", 0.2)
    with torch.no_grad():
        assert not torch.equal(cell.train()(x), cell(x))
        assert torch.equal(cell.eval()(x), MixerCell.forward(cell, x))
        torch.manual_seed(0)
        dropped = cell.train()(x)
        torch.manual_seed(0)
        torch.testing.assert_close(dropped, MixerCell.forward(cell, draw.dropout(x, 0.2)))


def test_a_penalty_on_the_jacobian(lines):
    """Fails when the penalty is not that of the command."""
    assert lines("a-penalty-on-the-jacobian").model.supervision == JacobianPenalty(0.5)


def drawn(curriculum, steps):
    """What a curriculum does in each step of a run of the small recipe."""
    stated = {"cycles": 3, "latent_steps": 6}
    return [curriculum.change(Moment(0, step, steps, stated)) for step in range(steps)]


def test_random_windows(lines):
    """Fails if windows are not those of seed and step, or evaluation has them, too."""
    ran, expected = lines("random-windows", steps=8), drawn(RandomWindow(most=4), 8)
    found = [(segment.cycles, segment.updates) for segment in ran.training()]
    assert found == [(change["cycles"], 7 * change["truncation"].count) for change in expected]
    assert {segment.cycles for segment in ran.evaluation()} == {3}


def test_random_depth(lines):
    """Fails if depths are not those of seed and step, or evaluation has them, too."""
    ran, expected = lines("random-depth", steps=8), drawn(RandomDepth(mean=3.0, most=6), 8)
    assert [segment.cycles for segment in ran.training()] == [change["cycles"] for change in expected]
    assert {segment.cycles for segment in ran.evaluation()} == {3}


def test_a_window_that_grows(lines):
    """Fails if the window has another length than the reference's in any step."""
    ran = lines("a-window-that-grows", steps=15)
    assert [segment.updates for segment in ran.training()] == [2, 3, 4] + [5] * 12


def test_a_depth_that_grows(lines):
    """Fails if a stage begins early or late, is that of evaluation, or the weights are others."""
    ran = lines("a-depth-that-grows", steps=10)
    stages = [(1, 3)] * 3 + [(2, 5)] * 3 + [(3, 7)] * 4
    assert [(segment.cycles, segment.updates) for segment in ran.training()] == stages
    assert {segment.cycles for segment in ran.evaluation()} == {3}
    assert ran.model.recursion.refiner.latent_steps == 6
    assert ran.model.supervision == OneSegment(decay=0.7)


def test_several_segments_a_step(lines):
    """Fails when a step has another number of segments, or they other weights."""
    ran = lines("several-segments-a-step")
    assert ran.model.supervision == DeepSupervision(4, [1.0, 0.7, 0.49, 0.343])
    assert [segment.gradient for segment in ran.training()] == [True] * 4 * 2


def test_a_prior_on_where_to_stop(lines):
    """Fails when the rule is another, or what every halting distribution needs is missing."""
    ran = lines("a-prior-on-where-to-stop")
    assert ran.model.supervision == PonderLoss(prior=0.4, weight=0.02)
    require_whole_samples(ran)


def test_the_expected_loss(lines):
    """Fails when the rule is another, or what every halting distribution needs is missing."""
    ran = lines("the-expected-loss")
    assert ran.model.supervision == ExpectedLoss(entropy=0.05)
    require_whole_samples(ran)


def require_whole_samples(ran):
    """Each step has all segments of a sample, and gradient through every update."""
    assert ran.model.halting_weight == 0
    assert [(segment.through, segment.updates) for segment in ran.training()] == [(True, 21)] * 4 * 2


def test_several_chains_the_best_one_learns(lines):
    """Fails when training has one chain, or evaluation several."""
    ran = lines("several-chains-the-best-one-learns")
    assert ran.model.supervision == WinnerTakesAll(width=4, spread=0.5)
    assert {segment.rows for segment in ran.training()} == {4 * 4}
    assert {segment.rows for segment in ran.evaluation()} == {4}


def test_denoising(lines):
    """Fails when training or evaluation is told nothing."""
    ran = lines("denoising")
    assert ran.model.supervision == Denoising(noise=0.5)
    assert ran.training()
    assert ran.evaluation()
    assert all(segment.told for segment in ran.segments)


def test_your_own_step(lines):
    """Fails when a step learns from several segments, or the number of the others is not drawn."""
    segments = lines("your-own-step", steps=8).training()
    before = "".join("+" if segment.gradient else "." for segment in segments).split("+")
    assert len(before) == 8 + 1
    assert before.pop() == ""
    assert {"", "..", "."} >= set(before)
    assert len(set(before)) > 1


def test_your_own_model(lines):
    """Fails when another class is made, its argument is lost, or its term is not in the loss."""
    ran = lines("your-own-model", ("0.001", "1000"), steps=1)
    assert type(ran.model).__name__ == "Calm"
    assert ran.model.calm == 1000
    assert len(ran.training()) == 2  # the supervision's segment, and the one whose logits are kept small
    assert ran.model.progress.loss < 10
    before = ran.runs[-1][1]["recursion.decoder.head.weight"].abs().sum()
    after = ran.model.recursion.decoder.head.weight.abs().sum()
    assert after < before  # the term outweighs the loss


def test_groups_of_the_optimizer(lines):
    """Fails when a group gets what is meant for another."""
    ran = lines("groups-of-the-optimizer")
    groups = {group["name"]: group for group in ran.optimizer.param_groups}
    found = {name: (group["initial_lr"], group["weight_decay"]) for name, group in groups.items()}
    assert found == {"halting": (1e-3, 1.0), "encoder": (3e-3, 0), "others": (3e-3, 1.0)}
    halting = set(map(id, ran.model.recursion.halting.parameters()))
    assert set(map(id, groups["halting"]["params"])) == halting


def test_frozen_parts(lines):
    """Fails when a frozen part moves, by decay perhaps, or another does not."""
    ran = lines("frozen-parts")
    began, parts = ran.runs[-1][1], ("recursion.encoder", "recursion.decoder")
    still = {name for name, weight in ran.model.state_dict().items() if torch.allclose(weight, began[name])}
    frozen = {name for name, _ in ran.model.named_parameters() if name.startswith(parts)}
    trained = {name for name, _ in ran.model.named_parameters()} - frozen
    assert frozen <= still
    assert frozen
    assert trained
    assert not trained & still


def test_muon_for_the_matrices(lines):
    """Fails when Muon gets other weights than the cells' matrices, or not all of them."""
    ran = lines("muon-for-the-matrices")
    assert isinstance(ran.optimizer, SplitOptimizer)
    muon, rest = ran.optimizer.parts
    assert isinstance(muon, torch.optim.Muon)
    cell = ran.model.recursion.refiner.latent
    matrices = {id(layer.weight) for layer in cell.modules() if isinstance(layer, nn.Linear)}
    assert [group["initial_lr"] for group in muon.param_groups + rest.param_groups] == [0.02, 1e-3]
    assert {id(weight) for group in muon.param_groups for weight in group["params"]} == matrices


def test_weights_of_another_run(lines, last):
    """Fails when the refiner begins anew, or anything else does not."""
    ran = lines("weights-of-another-run")
    began, there = ran.runs[-1][1], torch.load(last, weights_only=True)["state_dict"]
    taken = {name for name in there if torch.equal(began[name], there[name]) and "_start" not in name}
    assert taken == {name for name in there if ".refiner.latent." in name}
    assert "left out" in ran.out


def test_rectangular_grids(lines):
    """Fails when the cell takes a grid of nine columns for another, or for a sequence."""
    ran = lines("rectangular-grids")
    assert ran.model.recursion.sizes.grid == (6, 9)
    cell = ran.model.recursion.refiner.latent
    assert (cell.heads, cell.rotary_axes) == (4, 2)
    question, answer = (ran.runs[-1][0].datamodule.splits.val[part][0].reshape(6, 9) for part in (0, 1))
    assert (question[:, ::-1] == answer).all()


def test_unequal_lengths_masked(lines):
    """Fails when the cell is not told which positions are padding."""
    ran = lines("unequal-lengths-masked")
    questions = next(iter(ran.runs[-1][0].datamodule.val_dataloader()))
    assert (questions.inputs == 0).sum() > 0
    told, cell = [], ran.model.recursion.refiner.latent
    cell.register_forward_pre_hook(lambda cell, given: told.append(cell.filled))
    ran.model.recursion.solve(questions, max_segments=1)
    assert len(told) == 21
    assert all(torch.equal(filled, questions.inputs != 0) for filled in told)


def test_numbers_asked_and_answered(lines):
    """Fails when the numbers are taken for symbols, or another loss or tolerance judges them."""
    ran = lines("numbers-asked-and-answered")
    sizes = ran.model.recursion.sizes
    assert (sizes.features, sizes.targets, sizes.vocab, sizes.tokens) == (1, 1, 0, 8)
    assert ran.model.loss.tolerance == 0.05
    asked, answers, _ = ran.runs[-1][0].datamodule.splits.val
    means = asked[..., 0].cumsum(1) / torch.arange(1, 9).numpy()
    assert abs(answers[..., 0] - means).max() < 1e-3


def test_votes_at_test_time(lines):
    """Fails when a flag is not heard, or chains are not counted."""
    ran = lines("votes-at-test-time")
    guises, noise = (cli.model.search for cli, _ in ran.runs)
    assert guises == Search(4, symmetries=True)
    assert noise == Search(4, noise=0.3, selector=FirstToHalt())
    assert ran.out.count("pass@k") == 2
    assert len(ran.evaluation()) > 2 * 4


def test_the_answer_after_each_segment(lines):
    """Fails when a segment is left out, or the last answer is not that of the whole."""
    ran = lines("the-answer-after-each-segment")
    assert re.findall(r"^after (\d), confidence 0\.\d\d$", ran.out, re.M) == ["1", "2", "3", "4"]
    whole = ran.names["recursion"].solve(ran.names["questions"], max_segments=4, adaptive=False)
    assert torch.equal(ran.names["answers"], whole.logits.argmax(dim=-1))
    assert ran.out.endswith(ran.names["data"].render(ran.names["answers"][0].tolist()) + "\n")


def test_residuals_of_updates(lines):
    """Fails when an update is missed, its residual is another, or the answer changes."""
    ran = lines("residuals-of-updates")
    plain, evaluation = load_recursion("last.ckpt")
    questions, refiner = ran.names["questions"], plain.refiner
    assert torch.equal(ran.names["prediction"].logits, plain.solve(questions, **evaluation).logits)
    assert [level for level, _ in ran.names["residuals"]] == ["latent", "answer"] * 2 * 2
    with torch.no_grad():
        injection = plain.encoder(questions.inputs, questions.task)
        state = refiner.initial_state(injection)
        for level, residual in ran.names["residuals"]:
            before, state = state, refiner.update(state, injection, level)
            moved = (state._asdict()[level] - before._asdict()[level]).norm() / state._asdict()[level].norm()
            assert residual == pytest.approx(moved.item(), rel=1e-4)


def test_export(lines):
    """Fails when the program answers otherwise than the model evaluates."""
    names = lines("export").names
    tokens = names["tokens"]
    batch = Batch(tokens, tokens, torch.zeros(5, dtype=torch.int64))
    expected = names["recursion"].solve(batch, **names["evaluation"]).logits
    torch.testing.assert_close(names["logits"], expected, rtol=0, atol=1e-5)


def test_without_lightning(lines):
    """Fails when the loop does not learn, or needs what stands on Lightning."""
    assert not re.search("lightning|Data|Module", SECTIONS["without-lightning"][0].code)
    ran = lines("without-lightning", ("range(400)", "range(200)"))
    right = (ran.names["answers"] == ran.names["questions"].labels).float().mean()
    assert right > 0.5, right


CHECKS = {
    "my_cell": lambda file: check_cell(file.DroppingCell),
    "my_step": lambda file: check_supervision(file.Progressive),
}
UNHELD = {"my_model"}  # which no contract holds


@pytest.mark.parametrize("file", CHECKS)
def test_a_part_of_the_page_keeps_its_contract(file, tmp_path, monkeypatch):
    """Fails when what readers copy depends on ranks, on interruptions or on the rest of the batch."""
    (code,) = (block.code for blocks in SECTIONS.values() for block in blocks if block.file == f"{file}.py")
    (tmp_path / f"{file}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    CHECKS[file](importlib.import_module(file))
    monkeypatch.delitem(sys.modules, file)


def test_every_part_of_the_page_is_held_to_its_contract():
    """Fails when a part is added to the page, and its check is not."""
    files = [block.file for blocks in SECTIONS.values() for block in blocks if block.language == "python"]
    assert {file.removesuffix(".py") for file in files if file.startswith("my_")} == UNHELD | set(CHECKS)
