"""`make bench`: measure what a user waits for, write results/bench.json, and print it."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import features, first_paint, latency
from ser_engine import audio
from ser_engine.analysis import SAMPLE_RATE
from ser_engine.settings import PROJECT
from ser_engine.training.evaluate import write_json
from ser_engine.training.whisper_base import MEASURED
from tests.speech import SENTENCES, VOICES, speech  # generated, so that the figures need no corpus

BENCH = PROJECT / "results" / "bench.json"


def main() -> None:
    """Run every subject; keys that other subjects wrote stay."""
    measured: dict[str, Any] = json.loads(BENCH.read_text(encoding="utf-8")) if BENCH.exists() else {}
    measured["machine"] = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    measured |= first_paint.measure()
    with tempfile.TemporaryDirectory() as folder:
        measured |= latency.measure(recording(3.0, Path(folder)), recording(60.0, Path(folder)))
    measured |= features.measure()
    words = json.loads((BENCH.parent / MEASURED / "run.json").read_text(encoding="utf-8"))
    measured |= {key: words[key] for key in ("wer_fp16", "wer_int8", "wer_plain")}
    write_json(BENCH, measured)
    print(json.dumps(measured, indent=2))


def recording(seconds: float, folder: Path) -> Path:
    """Write a wav of exactly `seconds` of generated speech, the sentences of the tests in turn, and return its path."""
    sentences = np.concatenate([speech(text, voice) for text in SENTENCES for voice in VOICES])
    length = round(seconds * SAMPLE_RATE)
    path = folder / f"{seconds:g}s.wav"
    path.write_bytes(audio.to_wav(np.tile(sentences, -(-length // len(sentences)))[:length], SAMPLE_RATE))
    return path


if __name__ == "__main__":
    main()
