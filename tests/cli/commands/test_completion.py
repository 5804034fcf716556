"""`recurlight completion`: what a shell offers after it has read the script."""

import shutil
import subprocess

import pytest

from recurlight.__main__ import COMMANDS, main


def script(capsys, shell):
    capsys.readouterr()
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def offered(text, folder, *words):
    """Return what bash would offer for the last of some words."""
    line = " ".join(f"'{word}'" for word in ("recurlight", *words))
    call = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _recurlight; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{text}\n{call}"], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_offers_commands_recipes_and_files(capsys, tmp_path):
    (tmp_path / "mine.yaml").touch()
    text = script(capsys, "bash")
    assert offered(text, tmp_path, "") == [*COMMANDS]
    assert offered(text, tmp_path, "so") == ["solve"]
    assert offered(text, tmp_path, "fit", "--config", "hrm_") == [
        "hrm_arc1", "hrm_maze", "hrm_sudoku", "hrm_text", "hrm_text_sudoku",
    ]  # fmt: skip
    assert offered(text, tmp_path, "fit", "--config", "mi") == ["mine.yaml"]
    assert offered(text, tmp_path, "test", "--ckpt_path", "m") == ["mine.yaml"]
    assert offered(text, tmp_path, "fit", "--ck") == ["--ckpt_path"]
    assert offered(text, tmp_path, "recipes", "") == ["list", "show", "copy"]
    assert offered(text, tmp_path, "recipes", "show", "quick") == ["quickstart"]


def test_other_shells_have_a_script_too(capsys):
    assert script(capsys, "zsh").endswith(script(capsys, "bash"))
    assert 'complete -c recurlight -l config -r -F -a "backbone_s3 ' in script(capsys, "fish")


def test_a_shell_that_is_not_known_is_told_in_a_line(capsys):
    assert main(["completion", "bsh"]) == 2
    assert capsys.readouterr().err == (
        "recurlight: error: there is no completion for 'bsh'; did you mean 'bash'? "
        "recurlight completion bash | zsh | fish\n"
    )
