"""Recognize the emotion of each recording.

The table shows the most likely emotion (with a question mark where the model is not sure), its probability, the length
in seconds and the transcript. The exit code is 2 if any file could not be analyzed; the others are analyzed regardless.

--export writes one entry for each sentence, with its times and its emotion: a table that Excel opens (csv), subtitles
(srt, vtt), or tiers for Praat (textgrid, with the times of words). From several recordings, it writes a file for each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ser_engine.cli.baseline import add_baseline, read_baseline
from ser_engine.cli.download_bar import DownloadBar
from ser_engine.cli.export import add_export, export_targets, write_export
from ser_engine.errors import SerError
from ser_engine.models.registry import find_model
from ser_engine.process import SUFFIXES
from ser_engine.settings import Settings
from ser_engine.types import Analysis

HELP = "recognize the emotion of each recording"
SHARED = ("model",)
NAME_WIDTH = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="folders are searched for audio files"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per file and line")
    parser.add_argument("--explain", action="store_true", help="with --json: add what the answer rests on")
    parser.add_argument("--no-transcript", action="store_true", help="do not transcribe")
    parser.add_argument("--words", action="store_true", help="with --json: add when each word was said")
    add_export(parser)
    add_baseline(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Analyze all files; print failures on standard error."""
    from ser_engine.analyzer import Analyzer  # loads torch

    words = settings.words or options.words or options.export == "textgrid"
    settings = replace(settings, transcribe=settings.transcribe and not options.no_transcript, words=words)
    files = list(_audio_files(options.paths))
    if not files:
        print("No audio files found.", file=sys.stderr)
        return 2
    targets = export_targets(options, files)
    find_model(settings)  # report a missing model once, before any work
    analyzer = Analyzer(settings, on_download=DownloadBar())
    baseline = read_baseline(options, analyzer)
    failed = False
    if not options.json:
        print(f"{'file':{NAME_WIDTH}} {'emotion':10} {'prob.':>5}  {'sec.':>6}  transcript")
    for file in tqdm(files, unit="file", disable=len(files) < 3 or not sys.stderr.isatty()):
        try:
            analysis = analyzer.analyze(file, name=str(file), baseline=baseline)
            write_export(options, analysis, targets.get(file))
            explained = (
                {"explanation": analyzer.explain(analysis).to_dict()} if options.explain and options.json else {}
            )
        except SerError as error:
            failed = True
            tqdm.write(f"{file}: {error}", file=sys.stderr)
            continue
        with tqdm.external_write_mode():
            answer = json.dumps(analysis.to_dict() | explained, ensure_ascii=False) if options.json else _row(analysis)
            print(answer, flush=True)
    return 2 if failed else 0


def _audio_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the given files, and the audio files in the given folders."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        else:
            yield path


def _row(analysis: Analysis) -> str:
    label, probability = analysis.scores.ranked()[0]
    if analysis.sure is False:
        label += "?"
    name = analysis.file if len(analysis.file) <= NAME_WIDTH else "…" + analysis.file[1 - NAME_WIDTH :]
    words = analysis.transcript.text if analysis.transcript else ""
    return f"{name:{NAME_WIDTH}} {label:10} {probability:5.2f}  {analysis.quality.duration_s:6.1f}  {words}"
