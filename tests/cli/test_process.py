import os
import subprocess
import sys
from pathlib import Path

from .fixtures import TINY

ROOT = Path(__file__).resolve().parents[2]


def process(*arguments, **kwargs):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, **kwargs
    )


def test_help_version_and_recipes_do_without_torch():
    code = (
        "import sys\nfrom recurlight.__main__ import main\n"
        "for words in ([], ['--help'], ['--version'], ['recipes'], ['fti'], ['fit', '-h']): main(words)\n"
        "assert not {'torch', 'lightning', 'jsonargparse'} & sys.modules.keys()\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert "recurlight fit --config NAME" in done.stdout


def test_a_reader_may_go_before_all_recipes_are_listed():
    """Fails if `recurlight recipes list | head -3` ends in a traceback."""
    end, begin = os.pipe()
    os.close(end)
    command = [sys.executable, "-m", "recurlight", "recipes", "list"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, stdout=begin, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(begin)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_reports_in_one_line_with_status_2(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    done = process("-m", "recurlight", "fit", "--config", "tiny.yaml", "--model.widht", "3", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("recurlight: error: model.widht: ")
