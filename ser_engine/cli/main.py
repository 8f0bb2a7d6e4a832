"""The command line: parse, call one verb, turn errors into exit codes."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ser_engine.cli import (
    analyze,
    audit,
    batch,
    conversation,
    corpus,
    describe,
    evaluate,
    export,
    live,
    report,
    serve,
    train,
    trial,
)
from ser_engine.cli.interrupt import INTERRUPTED
from ser_engine.errors import SerError
from ser_engine.settings import Settings

VERBS = (analyze, batch, report, live, serve, train, trial, evaluate, export, conversation, describe, corpus, audit)
BAD_INPUT = 2
# Options that several verbs share and that override a setting of the same name.
SHARED = ("data", "results", "model", "track", "language", "channels", "channel_names", "speakers")
MODEL = "folder in models/, path, or hf:OWNER/NAME[@REVISION] of the Hugging Face hub (default: SER_MODEL or bundled)"

TRACK = "audio track of a film, from 1 (default: SER_TRACK, else the default one or, if silent, the first with sound)"
LANGUAGE = "language of all speech, such as en or de (default: SER_LANGUAGE, else detected for each stretch of speech)"
CHANNELS = (
    "auto splits calls into their speakers and otherwise uses the better channels; mix their mean; split a speaker for "
    "each; or one channel, from 1 (default: SER_CHANNELS or auto)"
)
CHANNEL_NAMES = "such as agent,customer (default: SER_CHANNEL_NAMES, else Left and Right)"
SPEAKERS = (
    "auto finds how many people speak on a channel and when; off takes them for one; or their number; pyannote uses "
    "pyannote.audio where it is installed, pyannote:PIPELINE another pipeline of it (default: SER_SPEAKERS or auto)"
)
# What looks like a file among the arguments, rather than like an option.
DASHED = re.compile(r"-[^=]*\.[A-Za-z]\w*")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 for success, 2 for bad input, 130 when interrupted."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
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
    shared = {name: argparse.ArgumentParser(add_help=False) for name in SHARED}
    shared["data"].add_argument("--data", type=Path, metavar="FOLDER", help="folder of the corpora (default: SER_DATA)")
    shared["results"].add_argument(
        "--results", type=Path, metavar="FOLDER", help="folder of the results (default: SER_RESULTS)"
    )
    shared["model"].add_argument("--model", help=MODEL)
    shared["language"].add_argument("--language", metavar="CODE", help=LANGUAGE)
    shared["track"].add_argument("--track", type=int, metavar="N", help=TRACK)
    shared["channels"].add_argument("--channels", metavar="auto|mix|split|N", help=CHANNELS)
    shared["channel_names"].add_argument("--channel-names", metavar="NAME,NAME", help=CHANNEL_NAMES)
    shared["speakers"].add_argument("--speakers", metavar="auto|off|N|pyannote", help=SPEAKERS)

    parser = argparse.ArgumentParser("ser", description="Recognize emotions in speech; train and evaluate models.")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for verb in VERBS:
        name = verb.__name__.rpartition(".")[2].replace("_", "-")
        added = verbs.add_parser(
            name, help=verb.HELP, description=verb.__doc__, parents=[shared[option] for option in verb.SHARED]
        )
        verb.add_arguments(added)
    return parser


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; where one looks like a file, a usage error says how to name such a file."""
    try:
        return build_parser().parse_args(arguments)
    except SystemExit as stop:
        file = next((each for each in arguments if DASHED.fullmatch(each)), None)
        if stop.code == BAD_INPUT and file:
            print(f"A file whose name begins with a dash needs ./ before it: ./{file}", file=sys.stderr)
        raise


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of the environment, overridden by the shared options that were given."""
    given = {name: getattr(options, name, None) for name in SHARED}
    return replace(Settings.from_env(), **{name: value for name, value in given.items() if value})
