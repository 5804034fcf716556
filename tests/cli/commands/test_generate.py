# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight generate`: text from a trained checkpoint."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import recurlight
from recurlight.__main__ import main

from ..fixtures import cache, failure, folder, trained

TEXT = """
model:
  refiner:
    class_path: SingleRefiner
    init_args: {cell: {class_path: CausalTransformerCell, init_args: {layers: 1, heads: 2}}}
  truncation: EveryUpdate
  halting: FixedHalting
  width: 16
  cycles: 1
  max_segments: 2
  optimizer: {class_path: AdamATan2, init_args: {lr: 0.02}}
data: {class_path: TextData, init_args: {path: text.txt, length: 16, batch_size: 16, epoch_samples: 320}}
trainer: {max_steps: 60, accelerator: cpu, enable_model_summary: false, enable_progress_bar: false}
"""


@pytest.fixture(scope="module")
def writer(tmp_path_factory, cache):
    """A model that has learnt one sentence."""
    place = tmp_path_factory.mktemp("writer")
    (place / "text.txt").write_text("to be or not to be, " * 100)
    (place / "text.yaml").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(cache))
        patch.chdir(place)
        assert main(["fit", "--config", "text.yaml", "--seed_everything", "0"]) == 0
    return str(place / "runs/text/version_0/checkpoints/last.ckpt")


def written(capsys, *arguments):
    capsys.readouterr()
    assert main(["generate", *arguments]) == 0
    out, err = capsys.readouterr()
    return out, err


def test_it_writes_on_what_it_has_learnt(writer, capsys):
    out, err = written(capsys, "--ckpt_path", writer, "--prompt", "not t", "--count", "9")
    assert out == "not to be, to \n"
    assert err.splitlines()[-1] == "9 tokens, 2.00 segments each"


def test_python_writes_the_same_piece_by_piece(writer):
    solver = recurlight.load(writer)
    pieces = list(solver.generate("not t", 9))
    assert "".join(piece.text for piece in pieces) == "o be, to "
    assert [piece[1:] for piece in pieces] == [(2, None)] * 9  # it does not judge itself
    assert isinstance(solver.loss(), recurlight.StablemaxCrossEntropy)  # the default, which is not recorded


def test_python_asks_for_a_beginning(writer):
    """Fails if tokens are asked for, of which a text has none."""
    with pytest.raises(recurlight.DataError, match="the prompt is empty: give how the text begins"):
        next(recurlight.load(writer).generate(""))


def test_threads_take_turns(writer):
    """Fails if one thread's piece tells the model's sizes while another's is read."""
    solver = recurlight.load(writer)

    def write(begin):
        return "".join(piece.text for piece in solver.generate(begin, 9))

    begins = ["not t", "to", "be", "or not "]
    alone = [write(begin) for begin in begins]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(write, begins * 2)) == alone * 2


def test_a_seed_draws_one_text(writer, capsys):
    """Fails if the seed or the temperature is not passed on."""
    asked = ["--ckpt_path", writer, "--prompt", "to", "--count", "14", "--temperature", "3"]
    first, again, other = (written(capsys, *asked, "--seed", seed)[0] for seed in "112")
    assert first == again != other
    assert written(capsys, *asked, "--top_k", "1")[0] == written(capsys, *asked[:-2])[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", ""], "there is no prompt: give how the text begins, --prompt TEXT"),
        (["--prompt", "tö"], "'ö'"),
        (
            ["--prompt", "to be or not to be"],
            "the prompt has 18 tokens and the model 16 positions: give at most 16",
        ),
        (["--prompt", "to", "--count", "99"], "count is 99: give 1 to 15"),
        (["--prompt", "to", "--temperature", "-1"], "temperature"),
        (["--prompt", "to", "--top_k", "0"], "top_k"),
        (["--prompt", "to", "--top_k", "5"], "give a temperature above 0"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(flags, message, writer, capsys):
    assert message in failure(capsys, "generate", "--ckpt_path", writer, *flags)
    assert capsys.readouterr().out == ""


def test_a_reader_may_have_seen_enough(writer, monkeypatch):
    """Fails if `recurlight generate ... | head` ends in a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["generate", "--ckpt_path", writer, "--prompt", "to", "--count", "3"]) == 0


def test_a_new_process_writes_without_lightning(writer):
    """Fails if the first token waits for libraries of training, which take longer than the model."""
    run = (
        "import sys\n"
        "from recurlight.__main__ import main\n"
        f"main(['generate', '--ckpt_path', {writer!r}, '--prompt', 'not t', '--count', '9'])\n"
        "heavy = {'lightning', 'torchmetrics', 'jsonargparse', 'torch._dynamo', 'torch._inductor'}\n"
        "print(heavy & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert done.stdout == "not to be, to \nset()\n"


def test_a_model_of_puzzles_does_not_write(trained, capsys):
    assert "use 'solve'" in failure(capsys, "generate", "--ckpt_path", trained, "--prompt", "12")


def test_a_checkpoint_is_asked_for(capsys):
    assert "give its checkpoint, --ckpt_path FILE" in failure(capsys, "generate", "--prompt", "a")
