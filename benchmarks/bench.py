"""`make bench`: measure speed and memory, write results/bench.json and print it.

`python -m benchmarks.bench SUBJECT ...` measures some subjects only and keeps the figures of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import (
    audit,
    batch,
    children,
    features,
    first_paint,
    hours,
    languages,
    latency,
    live,
    live_browser,
    service,
    speakers,
    speech_detection,
    speech_text,
    word_times,
)
from ser_engine.audio import decode as audio
from ser_engine.evaluation.record import read_record
from ser_engine.io import write_json
from ser_engine.settings import PROJECT
from ser_engine.types import SAMPLE_RATE
from tests.speech import SENTENCES, VOICES, speech  # synthetic, so that no corpus is needed
from tools.bundle_whisper import MEASURED

BENCH = PROJECT / "results" / "bench.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the given subjects, or all; figures of other subjects are kept."""
    parser = argparse.ArgumentParser("python -m benchmarks.bench", description="Measure speed and memory.")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)} (default: all)")
    chosen = parser.parse_args(arguments).subjects
    if unknown := sorted(set(chosen) - set(SUBJECTS)):
        parser.error(f"there is no subject {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    measured: dict[str, Any] = json.loads(BENCH.read_text(encoding="utf-8")) if BENCH.exists() else {}
    measured["machine"] = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for subject in chosen or SUBJECTS:
        measured |= SUBJECTS[subject]()
    write_json(BENCH, measured)
    print(json.dumps(measured, indent=2))


def answers() -> dict[str, Any]:
    """Return the latency of this project and of the plain pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        return latency.measure(recording(3.0, Path(folder)), recording(60.0, Path(folder)))


def words() -> dict[str, Any]:
    """Return the word error rates that `tools.bundle_whisper` measured."""
    return dict(read_record(BENCH.parent, MEASURED).metrics)


def recording(seconds: float, folder: Path) -> Path:
    """Write a WAV file of exactly `seconds` of synthetic speech and return its path."""
    sentences = np.concatenate([speech(text, voice) for text in SENTENCES for voice in VOICES])
    length = round(seconds * SAMPLE_RATE)
    path = folder / f"{seconds:g}s.wav"
    path.write_bytes(audio.encode_wav(np.tile(sentences, -(-length // len(sentences)))[:length], SAMPLE_RATE))
    return path


def against_reference() -> dict[str, Any]:
    """Return speed and memory beside those of an earlier commit."""
    from benchmarks import speed  # which imports this module

    return speed.measure()


SUBJECTS: dict[str, Callable[[], dict[str, Any]]] = {
    "paint": first_paint.measure,
    "answers": answers,
    "speed": against_reference,
    "features": features.measure,
    "audit": audit.measure,
    "words": words,
    "word-times": word_times.measure,
    "speech": speech_detection.measure,
    "children": children.measure,
    "languages": languages.measure,
    "speakers": speakers.measure,
    "speech-text": speech_text.measure,
    "hours": hours.measure,
    "live": live.measure,
    "batch": batch.measure,
    "live-browser": live_browser.measure,
    "service": service.measure,
}

if __name__ == "__main__":
    main()
