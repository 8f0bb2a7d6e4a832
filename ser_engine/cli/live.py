"""Play a recording into a live session and print its updates.

Islam et al. use windows of 2 seconds, --gate rms and --groups.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ser_engine.cli.baseline import add_baseline, read_baseline
from ser_engine.cli.source import read_source
from ser_engine.models.download_bar import DownloadBar
from ser_engine.settings import Settings

HELP = "play a recording into a live session"
SHARED = ("model", "track", "channels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", type=Path, metavar="FILE", help="the recording; - for standard input")
    parser.add_argument("--realtime", action="store_true", help="play at the recording's own pace")
    parser.add_argument("--window", type=float, default=3.0, metavar="SECONDS", help="length of a window (default: 3)")
    parser.add_argument("--hop", type=float, default=0.5, metavar="SECONDS", help="time between windows (default: 0.5)")
    parser.add_argument(
        "--gate",
        choices=("speech", "rms"),
        default="speech",
        help="skip windows without speech (default), or below an RMS level of 0.01",
    )
    parser.add_argument("--groups", action="store_true", help="report the four emotion groups of Islam et al.")
    add_baseline(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per update and line")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Print one update per window."""
    from ser_engine.analyzer import Analyzer  # loads torch
    from ser_engine.audio.channels import select_channels
    from ser_engine.audio.decode import load_audio
    from ser_engine.live.player import format_update, play_recording
    from ser_engine.live.session import MAX_SESSION_S, LiveSession

    in_memory = replace(settings, max_seconds=min(settings.max_seconds, MAX_SESSION_S))
    recording = load_audio(read_source(options.path, settings), in_memory, options.path.name)
    recording = select_channels(recording, settings).recording
    analyzer = Analyzer(replace(settings, transcribe=False), on_download=DownloadBar())
    baseline = read_baseline(options, analyzer)
    session = LiveSession(analyzer, window_s=options.window, hop_s=options.hop, gate=options.gate, baseline=baseline)
    analyzer.warm_up()  # before the clock starts
    for update in play_recording(recording, session, options.realtime):
        update = update.grouped() if options.groups else update
        print(json.dumps(update.to_dict(), ensure_ascii=False) if options.json else format_update(update), flush=True)
    return 0
