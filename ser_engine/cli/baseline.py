"""The option --baseline of `analyze` and `live`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ser_engine.cli.source import read_source
from ser_engine.errors import InvalidAudio, NoSpeech, TooLarge

if TYPE_CHECKING:
    from ser_engine.analyzer import Analyzer
    from ser_engine.types import Baseline


def add_baseline(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="calm speech of the one speaker, to compare with")


def read_baseline(options: argparse.Namespace, analyzer: Analyzer) -> Baseline | None:
    """Return the baseline from the file that was given, or None; an error of the file names it."""
    if options.baseline is None:
        return None
    from ser_engine.audio.sound import open_sound

    settings = replace(analyzer.settings, track=0)  # a given one is the recording's, as are given channels
    try:
        source = read_source(options.baseline, settings)
        with open_sound(source, settings, str(options.baseline)) as sound:
            return analyzer.calibrate(sound)
    except (InvalidAudio, NoSpeech, TooLarge) as error:
        raise InvalidAudio(f"{options.baseline}: {error}") from None
