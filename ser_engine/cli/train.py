"""Train and evaluate the system that a TOML file describes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ser_engine.settings import Settings

HELP = "train and evaluate a system"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train, evaluate and print the figures."""
    from ser_engine.training import runner

    entry = runner.run(options.config, settings.data, settings, settings.results)
    shown = {key: entry[key] for key in ("id", "metrics", "by_corpus", "external", "no_speech_found") if key in entry}
    print(json.dumps(shown, indent=2))
    return 0
