"""The command ``compuerta``: one module for each of its commands, all bilingual.

**To add a command** ``name``:

1. Write ``cli/<name>.py`` with a function ``make(t: Texts) -> click.Command``. :mod:`compuerta.cli.base` has all that
   it needs; ``cli/explain.py`` is a short example::

       def make(t: Texts) -> click.Command:
           \"\"\"Return the command ``generate``.\"\"\"

           @command(
               t,
               "generate",
               argument("model", FILE),
               option("-o", "--output", type=FILE, required=True),
               option("--length", type=IntRange(1, 10_000_000), default=500),
               option("--temperature", type=FloatRange(0, 100), default=0.8),
               flag("--json"),
           )
           def generate(model: Path, output: Path, length: int, temperature: float, json: bool) -> None:
               from .models import open_task  # heavy modules inside the function: --help must not wait for NumPy
               ...
               log(t("cli.generate.saved", file=clean(str(output))))  # progress and logs: stderr
               out(t("cli.generate.score", bits=bits))                # results: stdout; out_json(...) for --json

           return generate

2. Add a line to :data:`COMMANDS`.
3. Put its words into both catalogues:

   ============================  =======================================================================================
   ``cli.<name>.short``          one line for the list of commands
   ``cli.<name>.help``           what it does; paragraphs are parted by an empty line
   ``cli.<name>.<parameter>``    one for each argument and option (``cli.train.hidden_size``); where there is none,
                                 ``cli.option.<parameter>`` is taken, which the commands share (``--json``, ``--seed``)
   ``cli.<name>.examples``       commands to copy, printed unchanged; may be left out
   ``cli.metavar.<argument>``    how an argument is shown (``model``: MODEL, MODELO); else by its type (FILE, ARCHIVO)
   ============================  =======================================================================================

Options that depend on the task are no part of a command: the tasks declare them, and :mod:`compuerta.cli.options` makes
them for click. The commands that have such (``train``, ``evaluate``, ``forecast``) import the tasks for it.

``--lang`` and ``--help`` come by themselves. A command raises and prints nothing about errors itself: a
:class:`~compuerta.errors.CompuertaError`, an ``OSError`` or a ``MemoryError`` is reported in one line (exit 1);
``raise Refused("cli.some.key", ...)`` is an error of use (exit 2); :func:`main` does the rest. Any other exception is a
bug and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from types import MappingProxyType

import click

from ..errors import CompuertaError
from .base import Group, Texts, language_of
from .output import prepare_streams, settle_streams
from .refusal import failure, refusal, tell, warner

#: Name of the command -> its module in this package, in the order of the help. Only the one that is called is imported.
COMMANDS = MappingProxyType(
    {
        "demo": "demo",
        "explain": "explain",
        "train": "train",
        "generate": "generate",
        "forecast": "forecast",
        "evaluate": "evaluate",
        "look": "look",
        "lesson": "lesson",
        "convert": "convert",
        "info": "info",
        "bench": "bench",
    }
)


def _load(name: str, t: Texts) -> click.Command:
    command: click.Command = import_module(f".{COMMANDS[name]}", __name__).make(t)
    return command


def build(lang: str) -> click.Group:
    """Return the whole command in one language."""
    return Group(Texts(lang), tuple(COMMANDS), _load)


def run(args: list[str]) -> int:
    """Run the command with ``args`` (without the program's name) and return its exit code."""
    t = Texts(language_of(args))
    group = build(t.lang)
    with warnings.catch_warnings():  # which puts back how warnings are shown
        warnings.showwarning = warner(t, warnings.showwarning)
        return _run(group, args, t)


def _run(group: click.Group, args: list[str], t: Texts) -> int:
    try:
        instruction = os.environ.get("_COMPUERTA_COMPLETE")
        if instruction:
            from click.shell_completion import shell_complete

            return shell_complete(group, {}, "compuerta", "_COMPUERTA_COMPLETE", instruction)
        with group.make_context("compuerta", list(args)) as context:
            group.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a closed pipe or a full disk can still be reported
    except click.exceptions.Exit as end:
        return end.exit_code
    except BrokenPipeError:  # the reader went away, as `| head` does: nobody is left to be told
        return 1
    except (KeyboardInterrupt, click.Abort):
        return tell(t("cli.interrupted"), t, 130)
    except click.ClickException as error:
        return tell(refusal(error, t), t, error.exit_code)
    except (CompuertaError, OSError, MemoryError) as error:
        return tell(failure(error, t), t, 1)
    return 0


def main() -> None:
    """Run the command line and leave with its exit code: 0, 1 (failed), 2 (wrong use) or 130 (Ctrl-C)."""
    # Before NumPy loads: OpenBLAS's threads wait for one another where another program holds a core, and then a run
    # takes ten times as long; on a free machine a second thread gains little. Whoever sets these is obeyed.
    threads = os.environ.get("COMPUERTA_NUM_THREADS") or "1"
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, threads)
    prepare_streams()
    try:
        code = run(sys.argv[1:])
    finally:
        settle_streams()
    sys.exit(code)
