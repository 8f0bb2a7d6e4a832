"""Train and evaluate the system that a TOML file describes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.cli.output import print_record
from ser_engine.settings import Settings

HELP = "train and evaluate a system"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="such as configs/ours/svm.toml")
    parser.add_argument("--protocol", metavar="NAME", help="one of the protocols in the file (default: each of them)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train, evaluate and print the figures of each protocol."""
    from ser_engine.training.config import read_protocols
    from ser_engine.training.runner import run_experiment

    for protocol in [options.protocol] if options.protocol else read_protocols(options.config):
        record = run_experiment(options.config, protocol, settings)
        print_record(record, "metrics", "interval", "by_corpus", "external", "no_speech")
    return 0
