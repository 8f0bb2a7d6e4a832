"""Build models/whisper-base from official weights, quantized to 8 bits, and measure its word error rate."""

from __future__ import annotations

import argparse
from pathlib import Path

from ser_engine.cli.output import print_record
from ser_engine.settings import Settings

HELP = "build models/whisper-base from official weights"
SHARED = ("data", "results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", nargs="+", type=Path, help="base.pt, or a CTranslate2 folder, model file or parts of one"
    )
    parser.add_argument("--clips", type=int, default=500, help="clips to measure the word error rate on (default: 500)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Build the model, write its card and print the figures."""
    from ser_engine.training.whisper_base import bundle

    record = bundle(options.source, settings.data, settings, options.clips, settings.results)
    print_record(record, "metrics", "by_corpus", "size_mb")
    return 0
