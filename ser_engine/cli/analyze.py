"""Recognize the emotion of each recording.

The table shows the most likely emotion (with a question mark where the model is not sure), its probability, the length
in seconds and the transcript. Below a row are those of several speakers, such as the two sides of a call in stereo, and
warnings about sound that is missing, was replaced or left out, and about languages in which the model was never
measured. Folders are searched for recordings of any format; hidden files and those that are no audio are skipped and
counted. The exit code is 2 if any recording could not be analyzed; the others are analyzed regardless.

A recording may last four hours (SER_MAX_SECONDS). One of more than ten minutes is analyzed in stretches of about five
(SER_STRETCH_S), so that its length takes no memory; it has no --explain.

--export writes one entry for each sentence, with its times and its emotion: a table that Excel opens (csv), subtitles
(srt, vtt), or tiers for Praat (textgrid, with the times of words). From several recordings, it writes a file for each.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ser_engine.cli.baseline import add_baseline, read_baseline
from ser_engine.cli.interrupt import stop_at_once
from ser_engine.cli.minutes_bar import MinutesBar
from ser_engine.cli.sentence_files import add_export, export_targets, write_export
from ser_engine.cli.source import read_source
from ser_engine.errors import SerError, TooLarge
from ser_engine.models.download_bar import DownloadBar
from ser_engine.models.registry import find_model
from ser_engine.process import find_files, is_other_file
from ser_engine.settings import Settings
from ser_engine.transcription.language import warn_of_languages
from ser_engine.types import Analysis

if TYPE_CHECKING:
    from ser_engine.analyzer import Analyzer

HELP = "recognize the emotion of each recording"
SHARED = ("model", "track", "channels", "channel_names", "speakers", "language")
NAME_WIDTH = 40
HEAD = f"{'file':{NAME_WIDTH}} {'emotion':10} {'prob.':>5}  {'sec.':>6}  transcript"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="folders are searched; - is standard input"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per file and line")
    parser.add_argument("--explain", action="store_true", help="with --json: add what the answer rests on")
    parser.add_argument("--no-transcript", action="store_true", help="do not transcribe")
    parser.add_argument("--words", action="store_true", help="with --json: add when each word was said")
    add_export(parser)
    add_baseline(parser)
    parser.set_defaults(run=run)


@stop_at_once()
def run(options: argparse.Namespace, settings: Settings) -> int:
    """Analyze all files; print failures on standard error."""
    from ser_engine.analyzer import Analyzer  # loads torch

    words = settings.words or options.words or options.export == "textgrid"
    settings = replace(settings, transcribe=settings.transcribe and not options.no_transcript, words=words)
    files, hidden = _list_files(options.paths)
    targets = export_targets(options, [file for file, _ in files])
    find_model(settings)  # report a missing model once, before any work
    analyzer = Analyzer(settings, on_download=DownloadBar())
    baseline = read_baseline(options, analyzer)
    answered = failed = skipped = 0
    for file, given in tqdm(files, unit="file", disable=len(files) < 3 or not sys.stderr.isatty()):
        try:
            with closing(MinutesBar(file.name)) as bar:
                source = read_source(file, settings)
                analysis = analyzer.analyze(source, name=str(file), baseline=baseline, advance=bar)
            write_export(options, analysis, targets.get(file))
            answer = analysis.to_dict()
            if options.explain and options.json:
                _explain(analysis, answer, analyzer)
        except SerError as error:
            if not given and is_other_file(file, error):
                skipped += 1
                continue
            failed += 1
            tqdm.write(f"{file}: {error}", file=sys.stderr)
            continue
        answered += 1
        with tqdm.external_write_mode():
            if options.json:
                print(json.dumps(answer, ensure_ascii=False), flush=True)
            else:
                print(*([HEAD] if answered == 1 else []), *_rows(analysis), sep="\n", flush=True)
    news = [] if answered or failed else ["No recordings were found."]
    if hidden or skipped:
        parts = [f"{number} {kind}" for number, kind in ((hidden, "hidden"), (skipped, "not audio")) if number]
        count = hidden + skipped
        news.append(f"Skipped {count} {'file' if count == 1 else 'files'}: {', '.join(parts)}.")
    if news:
        print(*news, file=sys.stderr)
    return 0 if answered and not failed else 2


def _list_files(paths: Iterable[Path]) -> tuple[list[tuple[Path, bool]], int]:
    """Return the files, each with whether it was given itself or is in a given folder, and how many are hidden."""
    files: list[tuple[Path, bool]] = []
    hidden = 0
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 (a Path raises an error for a name that is too long)
            found, more = find_files(path)
            files += [(file, False) for file in found]
            hidden += more
        else:
            files.append((path, True))
    return files, hidden


def _explain(analysis: Analysis, answer: dict[str, Any], analyzer: Analyzer) -> None:
    """Add the explanation to an answer, or to that of each speaker; print why there is none, of a long recording."""
    try:
        if not analysis.speakers:
            answer["explanation"] = analyzer.explain(analysis).to_dict()
        for speaker, own in zip(analysis.speakers, answer.get("speakers", ()), strict=True):
            own["explanation"] = analyzer.explain(speaker.answer).to_dict()
    except TooLarge as error:
        tqdm.write(f"{analysis.file}: {error}", file=sys.stderr)


def _rows(analysis: Analysis) -> Iterator[str]:
    """Yield the row of a recording, those of its speakers with their seconds of speech, and warnings."""
    yield _row(analysis.file, analysis, analysis.quality.duration_s, words=not analysis.speakers)
    for speaker in analysis.speakers:
        yield _row(f"  {speaker.name}", speaker.answer, speaker.answer.quality.speech_s)
    for warning in (*analysis.recording.warnings, *filter(None, [warn_of_languages(analysis)])):
        yield f"  {warning}"


def _row(name: str, analysis: Analysis, seconds: float, words: bool = True) -> str:
    label, probability = analysis.scores.ranked()[0]
    if analysis.sure is False:
        label += "?"
    name = name if len(name) <= NAME_WIDTH else "…" + name[1 - NAME_WIDTH :]
    text = analysis.transcript.text if analysis.transcript and words else ""
    return f"{name:{NAME_WIDTH}} {label:10} {probability:5.2f}  {seconds:6.1f}  {text}".rstrip()
