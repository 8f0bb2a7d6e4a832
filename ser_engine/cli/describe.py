"""Measure the corpora for the results page, and write corpora.json in the results."""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.settings import Settings

HELP = "measure the corpora for the results page"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("corpora", nargs="*", metavar="CORPUS", help="corpora to measure (default: all)")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="recording on which the augmentations are shown")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Measure, write and print a summary."""
    from ser_engine.data.describe import describe, write_description

    description = describe(settings.data, settings, options.clip, options.corpora)
    print(f"{'corpus':10} {'clips':>6} {'speakers':>8} {'hours':>6}")
    for name, corpus in description["corpora"].items():
        print(f"{name:10} {corpus['clips']:6} {corpus['speakers']:8} {corpus['hours']:6.2f}")
    target = write_description(description, settings.results)
    print(f"{description['unreadable']} clips unreadable. Written to {target}.")
    return 0
