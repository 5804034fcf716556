"""`recurlight completion SHELL`: a script that completes commands, recipes and files, without torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recurlight.cli.help import COMMANDS
from recurlight.cli.recipes import recipe_names, recipes_dir
from recurlight.errors import RecurlightError, suggestion

__all__ = ["run", "script"]

SHELLS = ("bash", "zsh", "fish")

HELP = """usage: recurlight completion bash | zsh | fish

Print a script that completes commands, recipes after --config, and files.

examples:
  recurlight completion bash >> ~/.bashrc
  recurlight completion zsh >> ~/.zshrc
  recurlight completion fish > ~/.config/fish/completions/recurlight.fish
"""

BASH = """
_recurlight() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words=
  case $prev in
    --config|-c|show|copy) words="{recipes}" ;;
    recipes) words="list show copy" ;;
    completion) words="{shells}" ;;
  esac
  if [[ $COMP_CWORD == 1 ]]; then words="{commands}"
  elif [[ $cur == -* ]]; then words="--config --ckpt_path --help --print_config"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ $COMP_CWORD == 1 || $cur == -* || $prev == recipes ]] || COMPREPLY+=($(compgen -f -- "$cur"))
}}
complete -o filenames -F _recurlight recurlight
"""

FISH = """
complete -c recurlight -n __fish_use_subcommand -f -a "{commands}"
complete -c recurlight -n "__fish_seen_subcommand_from recipes" -f -a "list show copy {recipes}"
complete -c recurlight -n "__fish_seen_subcommand_from completion" -f -a "{shells}"
complete -c recurlight -l config -r -F -a "{recipes}"
complete -c recurlight -l ckpt_path -r -F
complete -c recurlight -l print_config -f
"""


def run(arguments: Sequence[str]) -> None:
    """Print the script for a shell.

    Args:
        arguments: What follows the word `completion`.

    Raises:
        RecurlightError: There is no script for it.
    """
    match list(arguments):
        case [] | ["-h" | "--help", *_]:
            sys.stdout.write(HELP)
        case [shell] if shell in SHELLS:
            sys.stdout.write(script(shell))
        case [shell, extra, *_] if shell in SHELLS:
            raise RecurlightError(f"'{extra}' is not expected here: recurlight completion {shell}")
        case [shell, *_]:
            raise RecurlightError(
                f"there is no completion for '{shell}'{suggestion(shell, SHELLS) or ':'} "
                f"recurlight completion {' | '.join(SHELLS)}"
            )


def script(shell: str) -> str:
    """Return the script for a shell, with the recipes that there are now."""
    zsh = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" if shell == "zsh" else ""
    text = FISH if shell == "fish" else BASH
    recipes = " ".join(recipe_names(recipes_dir()))
    return zsh + text.format(commands=" ".join(COMMANDS), recipes=recipes, shells=" ".join(SHELLS)).lstrip()
