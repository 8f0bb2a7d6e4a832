"""Analyze an archive of recordings into Parquet datasets; a run that was stopped or killed goes on where it was.

A SOURCE is a file, a folder, a glob, a manifest (CSV, JSONL or Parquet with a column path; further columns are passed
through), or an address that fsspec reads, such as s3://bucket/calls/, gs://, az://, https:// or zip://*.wav::calls.zip.
Credentials come from the environment alone.

OUT gets two datasets, recordings (a row each) and segments (a row for each sentence, or window without a transcript),
_plan.json (settings, checksums of the models, versions) and a log. A recording that cannot be analyzed is a row with
the reason. Files in folders that are no recordings are skipped.

Ctrl-C finishes what is under way and saves it. The exit code is 0 once every recording has a row, whatever is in it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ser_engine.cli.interrupt import INTERRUPTED
from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from types import FrameType

HELP = "analyze an archive of recordings into Parquet datasets"
WORKERS = "processes at most (default: one per core; with SER_DEVICE=cuda, one per GPU)"
SHARED = ("model", "track", "channels", "channel_names", "speakers", "language")
EXTRA = "ser batch and ser report need the extra “batch”: pip install 'ser-engine[batch]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="with --resume: those of OUT by default")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder of the results")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="this machine (default) or a cluster"
    )
    parser.add_argument("--address", help="of the cluster: ray://HOST:10001 or auto (default: this machine alone)")
    parser.add_argument("--runtime-env", type=json.loads, metavar="JSON", help="what Ray installs on the nodes first")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help=WORKERS)
    parser.add_argument("--resume", action="store_true", help="continue what is in OUT")
    parser.add_argument("--retry-errors", action="store_true", help="with --resume: also what could not be analyzed")
    parser.add_argument("--no-transcript", action="store_true", help="do not transcribe")
    parser.add_argument("--max-errors", type=int, metavar="N", help="stop after more than N errors (default: never)")
    parser.add_argument(
        "--progress",
        choices=("bar", "json", "none"),
        default="bar",
        help="json: an object per line, twice a second",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Run the job, show how far it is, and return the exit code."""
    try:
        from ser_engine.batch import job
        from ser_engine.batch.plan import make_plan, read_plan
        from ser_engine.cli.batch_progress import open_progress
    except ImportError as error:
        raise InvalidSettings(f"{EXTRA} ({error}).") from None
    for name in ("workers", "max_errors"):
        if (getattr(options, name) or 0) < 0:
            raise InvalidSettings(f"--{name.replace('_', '-')} is 0 or more.")
    if options.retry_errors and not options.resume:
        raise InvalidSettings("--retry-errors needs --resume.")
    settings = replace(settings, transcribe=settings.transcribe and not options.no_transcript)
    sources = options.sources or (read_plan(options.output).sources if options.resume else ())
    if not sources:
        raise InvalidSettings("There is nothing to analyze: name at least one SOURCE.")
    plan = make_plan(sources, settings)
    with open_progress(options.progress) as show, finish_on_interrupt() as stop:
        end = job.run(
            plan,
            options.output,
            engine=options.engine,
            address=options.address,
            runtime_env=options.runtime_env,
            workers=options.workers,
            resume=options.resume,
            retry_errors=options.retry_errors,
            max_errors=options.max_errors,
            on_progress=show,
            stop=stop,
            settings=settings,
        )
    if end.state == "stopped":
        print("Interrupted. What was analyzed is saved; continue with --resume.", file=sys.stderr)
        return INTERRUPTED
    if not end.done:
        print("No recordings were found.", file=sys.stderr)
        return 2
    return 0


@contextmanager
def finish_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C or SIGTERM came; a second one ends the process at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(INTERRUPTED)
        asked = True
        os.write(2, b"\nFinishing what is under way; Ctrl-C again ends at once.\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
