"""The command line: parse, call one verb, turn errors into exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ser_engine.cli import analyze, audit, conversation, corpus, describe, evaluate, live, train, trial
from ser_engine.errors import SerError
from ser_engine.settings import Settings

VERBS = (analyze, live, train, trial, evaluate, conversation, describe, corpus, audit)
BAD_INPUT = 2
INTERRUPTED = 130
MODEL = "folder in models/, path, or hf:OWNER/NAME[@REVISION] of the Hugging Face hub (default: SER_MODEL or bundled)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 for success, 2 for bad input, 130 when interrupted."""
    options = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = options.run(options, _settings(options))
    except SerError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Interrupted. Finished work is saved.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; docs/command-line.md is generated from it."""
    # Options that several verbs share and that override a setting of the same name.
    shared = {name: argparse.ArgumentParser(add_help=False) for name in ("data", "results", "model")}
    shared["data"].add_argument("--data", type=Path, metavar="FOLDER", help="folder of the corpora (default: SER_DATA)")
    shared["results"].add_argument(
        "--results", type=Path, metavar="FOLDER", help="folder of the results (default: SER_RESULTS)"
    )
    shared["model"].add_argument("--model", help=MODEL)

    parser = argparse.ArgumentParser("ser", description="Recognize emotions in speech; train and evaluate models.")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for verb in VERBS:
        name = verb.__name__.rpartition(".")[2].replace("_", "-")
        added = verbs.add_parser(
            name, help=verb.HELP, description=verb.__doc__, parents=[shared[option] for option in verb.SHARED]
        )
        verb.add_arguments(added)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of the environment, overridden by the shared options that were given."""
    given = {name: getattr(options, name, None) for name in ("data", "results", "model")}
    return replace(Settings.from_env(), **{name: value for name, value in given.items() if value})
