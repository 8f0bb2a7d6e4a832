"""Evaluate changed settings on a few folds, and append the figures to trials.jsonl in the results."""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.cli.output import print_figures
from ser_engine.settings import Settings

HELP = "evaluate changed settings on a few folds"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="such as configs/ours/svm.toml")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings to change, in TOML syntax"
    )
    parser.add_argument("--folds", nargs="+", default=["1"], metavar="FOLD", help="folds to test (default: 1)")
    parser.add_argument(
        "--protocol", metavar="NAME", default="", help="one of the protocols in the file (default: the first)"
    )
    parser.add_argument("--note", metavar="TEXT", default="", help="reason for the trial")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Run the trial and print its figures."""
    from ser_engine.training.trial import run_trial

    line = run_trial(options.config, options.set, options.folds, settings, options.protocol, options.note)
    print_figures(line)
    return 0
