"""Write a page about the results of ser batch, which opens without a network, or a table of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings

HELP = "write a page about the results of ser batch"
SHARED = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the results, also while they grow")
    parser.add_argument("-o", "--output", type=Path, metavar="REPORT.html", help="page to write")
    parser.add_argument("--csv", type=Path, metavar="TABLE.csv", help="table of the recordings to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Write the page and the table."""
    try:
        from ser_engine.batch.report import write_report, write_table
    except ImportError as error:
        raise InvalidSettings(
            f"ser report needs the extra “batch”: pip install 'ser-engine[batch]' ({error})."
        ) from None
    if options.output is None and options.csv is None:
        raise InvalidSettings("Name a page to write (-o REPORT.html), a table (--csv TABLE.csv), or both.")
    if options.output is not None:
        write_report(options.out, options.output, settings)
    if options.csv is not None:
        write_table(options.out, options.csv)
    return 0
