"""The tutorials: what a new user writes from them trains by YAML in a folder apart, and passes its checks."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import recurlight
from docs.following import QUIET, commands, files, follow, forget, save
from docs.test_pages import blocks
from recurlight.__main__ import main
from recurlight.data import SudokuRules

SUDOKU = "--data.num_train 8 --data.num_val 4 --data.num_test 4"
TABLE = "exact accuracy after segments"
OWN = {
    "tutorials/your-refiner.md": SUDOKU,
    "tutorials/your-halting.md": SUDOKU,
    "tutorials/your-loss-and-cell.md": "--data.num_train 90",  # the others are tried as they are
    "tutorials/lengths-and-grids.md": "--data.eval_batch_size 200",
}
"""Pages with files of one's own, and what makes their data few."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder of its own, far from the repository, as the page's reader has one."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    forget(*OWN)
    yield tmp_path
    forget(*OWN)


@pytest.mark.parametrize("page", OWN)
def test_parts_of_ones_own_train_by_yaml_and_pass_their_checks(page, capsys):
    """Breaks when a contract changes and its page does not: every file is saved, every command runs."""
    ran = follow(page, fit=OWN[page], check=OWN[page])
    assert "pytest" in {program.split()[0] for program in ran}
    assert capsys.readouterr().out.count(TABLE) == ran.count("recurlight fit") > 0


@pytest.mark.parametrize("page", OWN)
def test_every_file_of_ones_own_is_short(page):
    own = {name: text for name, text in files(page).items() if name.endswith(".py")}
    assert {name: len(text.splitlines()) for name, text in own.items() if len(text.splitlines()) >= 40} == {}
    checked = " ".join(text for name, text in own.items() if name.startswith("test_"))
    parts = [Path(name).stem for name in own if not name.startswith("test_")]
    assert all(f"from {part} import" in checked for part in parts)


def test_the_tutorials_have_every_kind_of_part():
    """Three levels, a policy with a head, a truncation that is no window, a loss, a cell, two tasks."""
    text = "".join(code for page in OWN for code in files(page).values())
    bases = {"Refiner[Thought]", "Halting", "GradientTruncation", "SequenceLoss", "Sized", "PuzzleData"}
    assert {base for base in bases if f"({base}):" not in text} == set()
    assert text.count("(PuzzleData):") == 2


def test_every_level_of_the_refiner_is_read_and_trained():
    """Fails when no gradient reaches one, or when two begin alike."""
    save("tutorials/your-refiner.md")
    refiner = importlib.import_module("sketch").ThreeLevelRefiner(recurlight.MixerCell(multiple=8))
    assert refiner.schedule() == ("latent", "latent", "sketch") * 2 + ("answer",)
    window = recurlight.LastPerLevel({"latent": 2, "sketch": 1, "answer": 1})
    sizes = recurlight.Sizes(vocab=6, tokens=16, width=8)
    recursion = recurlight.Recursion(sizes, refiner, window, recurlight.FixedHalting(), cycles=2)
    tokens = torch.ones(2, 16, dtype=torch.int64)
    batch = recurlight.Batch(tokens, tokens, tokens[:, 0])
    recursion.segment(recursion.start(batch), batch)[1].logits.sum().backward()
    assert all(weight.grad is not None for weight in recursion.parameters() if weight.requires_grad)
    state = refiner.initial_state(torch.zeros(1, 16, 8))
    assert len({leaf.sum().item() for leaf in state}) == 3


def test_the_fading_gradient_fades_and_changes_no_value():
    """Fails if a cycle hands on all of its gradient, or if the state itself is scaled."""
    save("tutorials/your-halting.md")
    fading = importlib.import_module("fading").FadingGradient

    def run(truncation, cycles):
        refiner = recurlight.SingleRefiner(torch.nn.Identity())
        state = recurlight.SingleState(torch.zeros(1, 1, 1))
        injection = torch.ones(1, 1, 1, requires_grad=True)
        answer = truncation.run(refiner, state, injection, cycles).answer.sum()
        return answer.item(), torch.autograd.grad(answer, injection)[0].item()

    exact = run(recurlight.EveryUpdate(), 3)  # each cycle adds the injection
    assert exact == (3, 3)
    assert run(fading(1.0), 3) == exact
    assert run(fading(0.5), 3) == (3, 1.75)  # 1 + 1/2 + 1/4


def squeezed(word):
    """Drop repeats, letter by letter."""
    return "".join(letter for at, letter in enumerate(word) if word[at - 1 : at] != letter)


def test_the_tasks_are_what_their_pages_say():
    """Fails if an end is not marked, a mask lies elsewhere, or sand hangs in the air."""
    save("tutorials/lengths-and-grids.md")
    words = importlib.import_module("squeeze").SqueezeData(words=600)
    for question, answer in zip(*words.splits.train[:2], strict=True):
        word, known = words.render(question).rstrip("."), answer[answer != recurlight.IGNORE]
        assert 3 <= len(word) <= 10
        wanted = squeezed(word)
        assert words.render(known).rstrip(".") == wanted
        assert len(known) == min(len(wanted) + 1, 10)
    sand = importlib.import_module("sand")
    grids = sand.SandData(rows=3, columns=5, pictures=600)
    for question, answer in zip(*grids.splits.train[:2], strict=True):
        stones = question == sand.STONE
        assert ((answer == recurlight.IGNORE) == stones).all()
        assert sorted(answer[~stones]) == sorted(question[~stones])
        settled = answer.reshape(3, 5)
        assert not ((settled[:-1] == sand.SAND) & (settled[1:] == sand.AIR)).any()


def test_the_first_reasoner_trains_answers_and_is_watched(folder, capsys):
    few = "--data.num_train 8 --data.num_val 4 --data.num_test 20"
    ran = follow("tutorials/first-reasoner.md", fit=few, doctor="--samples 4")
    assert [command.split()[1] for command in ran] == ["fit", "fit", "solve", "trace", "test", "doctor"]
    out = capsys.readouterr().out
    shown = blocks("tutorials/first-reasoner.md", "text")
    assert shown[0].splitlines()[:2] == [TABLE, "segments       1       2       4       8      16"]
    assert "\n".join(shown[0].splitlines()[:2]) in out
    assert re.search(r"^confidence [\d.]+%, \d+ segments?, the rules ", out, re.M)
    assert (folder / "thinking.html").stat().st_size < 500_000


def test_language_is_learnt_written_and_reasoned_with(folder, capsys):
    """Fails if a recipe of the page does not find the checkpoint of the one before it."""
    page = "tutorials/language.md"
    ran = follow(page)
    assert [command.split()[1] for command in ran] == ["fit", "generate", "fit", "fit", "fit"]
    assert re.search(r"^\d+ tokens, 4.00 segments each$", capsys.readouterr().err, re.M)
    exec("".join(blocks(page, "python")), {})
    assert capsys.readouterr().out.strip()
    saved = torch.load(folder / "runs/hybrid_s3/version_0/checkpoints/last.ckpt", weights_only=True)
    assert not [name for name in saved["state_dict"] if "backbone" in name]
    own = ["generate", "--ckpt_path", "runs/ut_text/version_1/checkpoints/last.ckpt", "--prompt", "def "]
    assert main(own) == 2
    assert "does not write: what it says of a token depends on" in capsys.readouterr().err
    (folder / "moved").mkdir()
    (folder / "runs").rename(folder / "moved" / "runs")  # as it is
    assert (
        main(["test", "--ckpt_path", "moved/runs/hybrid_s3/version_0/checkpoints/last.ckpt", *QUIET.split()])
        == 0
    )
    forget(page)


def test_the_puzzle_that_is_shown_has_the_answer_that_is_shown():
    """The page's answer is of a trained model; here the rules are asked."""
    question = next(words[-1] for words in commands("tutorials/first-reasoner.md") if words[1] == "solve")
    answer = re.findall(r"\d", "".join(blocks("tutorials/first-reasoner.md", "text")[1].splitlines()[:8]))
    asked, said = ([int(cell.replace(".", "0")) + 1 for cell in text] for text in (question, answer))
    assert SudokuRules(6).holds(torch.tensor([asked]), torch.tensor([said])).all()


def test_training_and_asking_run(capsys):
    ran = follow("tutorials/training.md", fit=SUDOKU)
    out = capsys.readouterr().out
    assert ran.count("recurlight fit") == 4
    for told in (
        "; DeepSupervision\n",
        "; OneSegment, RandomDepth\n",
        "; DeepSupervision, DepthCurriculum\n",
    ):
        assert told in out or told.replace("\n", ", ") in out
    assert out.count("pass@k") >= 3
    assert Path("predictions.jsonl").exists()


def test_the_page_without_lightning_imports_none_and_sorts():
    """The page says so itself in its last line, which needs a process that has imported nothing yet."""
    few = f"{SUDOKU} --data.batch_size 4 --data.epoch_samples 8 --model.width 16 --trainer.max_steps 1"
    quiet = "--trainer.accelerator cpu --trainer.enable_progress_bar false"
    assert main(f"fit --config trm_sudoku --config small {few} {quiet}".split()) == 0
    Path("runs/trm_sudoku/version_0/checkpoints/last.ckpt").rename("last.ckpt")
    code = "\n".join(blocks("tutorials/python.md", "python")).replace("steps = 600", "steps = 120")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses = [float(number) for number in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert losses[-1] < 0.7 * losses[0]
    assert len(re.findall(r"^after \d segments: ", done.stdout, re.M)) == 8
