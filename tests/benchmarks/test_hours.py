"""The benchmark of long recordings counts memory once, and all of it."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hours import held_bytes, join_clips, peak_mb
from ser_engine import Settings
from ser_engine.audio.decode import load_audio

MB = 2**20


def test_what_is_held_is_counted_once() -> None:
    data, samples = bytes(3 * MB), np.zeros(MB, np.float32)
    holder = {"one": data, "same": [data], "view": samples[10:], "type": Settings, "all": {"samples": samples}}
    assert held_bytes(holder) == pytest.approx(7 * MB, rel=0.01)


def test_the_peak_is_that_of_the_process() -> None:
    script = """
import json, resource, sys
peaks = []
for seconds, size in ((10.0, 1), (20.0, int(sys.argv[1]))):
    bytearray(b"x") * size
    peaks.append((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
print(json.dumps(peaks))
"""
    early, whole = peak_mb(Path(str(200 * MB)), (15.0, math.inf), script)
    assert whole - early == pytest.approx(200, abs=20)
    with pytest.raises(subprocess.CalledProcessError):
        peak_mb(Path("none"), (1.0,), "raise SystemExit(3)")


@pytest.mark.corpora
@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_sentences_are_joined_to_the_minutes_that_are_asked_for(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk.{suffix}"
    join_clips(path, 0.5, Settings.from_env())
    recording = load_audio(path, Settings())
    assert recording.rate == 48_000 and 30 <= recording.duration_s < 40
