"""The command `recurlight`. What needs no torch answers without waiting for it."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import recurlight
from recurlight.cli.help import COMMANDS, PAGE, RUNS, topic
from recurlight.errors import Interrupted, RecurlightError, suggestion

__all__ = ["COMMANDS", "RUNS", "main"]

ALIASES = {"train": "fit", "evaluate": "test"}
"""What others call a command."""

HELP = f"""usage: recurlight COMMAND [--config FILE_OR_RECIPE ...] [--ckpt_path FILE] [--KEY VALUE ...]

{chr(10).join(f"  {name:10} {text}" for name, text in RUNS.items())}
  check      make what a configuration describes, and say what a step of it costs
  solve      answer questions given as texts, with a trained model
  generate   write on from a text, with a trained language model
  export     write a trained model as programs that run without recurlight
  calibrate  find how sure a model must be to stop thinking, and keep it in the checkpoint
  doctor     examine the dynamics of a trained model, with a verdict on each
  trace      write a page that plays how a trained model solves a puzzle
  recipes    list the recipes that come with recurlight, show one, copy one
  policies   list what can be put where: refiners, halting policies, data and so on, plug-ins too
  import     turn a published checkpoint of HRM or TRM into one of recurlight
  env        print versions and devices, for a report of a fault
  schema     print a JSON schema of configurations, for editors
  completion print a script that completes command lines, for bash, zsh or fish

  recurlight recipes list                          what can be trained
  recurlight fit --config NAME                     train a recipe
  recurlight fit --config NAME --model.width 256   the same with a setting changed; flags always win
  recurlight fit --config NAME --weights FILE      a new run that begins with trained weights
  recurlight test --ckpt_path FILE                 evaluate; settings come from the checkpoint
  recurlight solve --ckpt_path FILE 53..7....      answer a question
  recurlight doctor --ckpt_path FILE               look at its dynamics
  recurlight trace --ckpt_path FILE --index 3      watch it solve a test puzzle
  recurlight import FILE --from trm                then test or fit it with --ckpt_path
  recurlight fit --help                            which settings there are, and more examples
  recurlight --version
"""

QUIET = (
    # The data modules here make a batch in well under a millisecond: workers would only slow them down.
    r".*does not have many workers",
    # The logging interval is a default of the command line; short runs need not hear about it.
    r".*The number of training batches .* is smaller than the logging interval",
    # A resumed or evaluated checkpoint lies in the folder of the run that wrote it, not in this one's.
    r".*The dirpath has changed from",
    # Lightning's own use of interfaces that torch deprecates is not the user's to mend.
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
)


QUIET_IN_EVALUATION = (
    # Evaluation needs no averaging: a checkpoint's `state_dict` holds the averaged weights already.
    r".*You're using the WeightAveraging callback, but loading a checkpoint outside the 'fit' stage",
    # Nor any other callback of training. Resuming `fit` without one is worth the warning.
    r".*callbacks used to create the checkpoint need to be provided",
)


def _quiet(command: str) -> None:
    """Silence warnings that no user can act on; here only, never in the library."""
    for message in QUIET if command == "fit" else QUIET + QUIET_IN_EVALUATION:
        warnings.filterwarnings("ignore", message)
    # Lightning advertises other products through its log.
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    log.addFilter(lambda record: "Tip: For seamless" not in record.getMessage())


@contextmanager
def _read_as_far_as_wanted() -> Iterator[None]:
    """Let whoever reads, such as `head`, have seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str]) -> None:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # appended: a user's file must not shadow an installed module
    match arguments:
        case [] | ["-h" | "--help", *_]:
            sys.stdout.write(HELP)
        case ["--version" | "-V", *_]:
            sys.stdout.write(f"recurlight {recurlight.__version__}\n")
        case ["recipes" | "policies" | "env" | "schema" | "completion" as word, *rest]:
            place = "" if word == "recipes" else "commands."
            printing = importlib.import_module(f"recurlight.cli.{place}{word}")
            with _read_as_far_as_wanted():
                printing.run(rest, **({"schema": _schema} if word == "recipes" else {}))
        case ["import", *rest]:
            _quiet("import")
            from recurlight.cli.commands.importing import run as import_published

            import_published(rest)
        case ["check" | "solve" | "generate" | "calibrate" | "doctor" | "trace" | "export" as word, *rest]:
            _quiet(word)
            with _read_as_far_as_wanted():
                importlib.import_module(f"recurlight.cli.commands.{word}").run(rest)
        case [command, *rest] if command in RUNS and topic(rest) == "":
            sys.stdout.write(PAGE.format(command=command, about=RUNS[command]))
        case [command, *rest] if command in RUNS:
            _quiet(command)
            from recurlight.cli.app import run

            run(command, rest)
        case [word, *rest]:
            raise RecurlightError(_wrong_start(word, rest))


def _schema() -> str:
    from recurlight.cli.commands.schema import text

    return text()


def _wrong_start(word: str, rest: list[str]) -> str:
    """Explain a command line that does not begin with a command."""
    if word.startswith("-"):
        command = next((other for other in rest if other in COMMANDS), "|".join(COMMANDS))
        return f"the command comes first: recurlight {command} {word} ..."
    meant = suggestion(word, (*COMMANDS, *ALIASES), shown=ALIASES) or f": {', '.join(COMMANDS)}"
    return f"'{word}' is not a command{meant}"


def _intended(error: BaseException) -> RecurlightError | None:
    """Find the error that recurlight raised on purpose behind what others wrapped around it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, RecurlightError):
        seen = seen.__cause__ or seen.__context__
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `recurlight`; those of the process by default.

    Returns:
        The exit status: 0; 2 after an error of the user's, told in one line on stderr; 130 after Ctrl-C and
        143 after SIGTERM. Errors that nobody intended keep their traceback.
    """
    try:
        _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except Exception as error:
        intended = _intended(error)
        if intended is None:
            raise
        kind = "" if isinstance(intended, Interrupted) else "error: "
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        sys.stderr.write(f"recurlight: {kind}{' '.join(f'{intended}{notes}'.split())}\n")
        return intended.status
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning turns a Ctrl-C into status 1. One that comes between steps of `fit` does not get here.
        if not isinstance(stop, KeyboardInterrupt) and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        sys.stderr.write("recurlight: interrupted\n")
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
