"""Memory of long recordings: of the analysis of two hours, and what half an hour leaves behind in a tab of the page.

The recordings are sentences of CREMA-D and RAVDESS with pauses between them, in rooms that are not quite silent.
"""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import soundfile

from ser_engine.analyzer import Analyzer
from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import normalize_level
from ser_engine.data.corpora import registry
from ser_engine.settings import PROJECT, Settings
from ser_engine.types import SAMPLE_RATE

CORPORA = ("crema-d", "ravdess")
SHORT_MIN, LONG_MIN = 30.0, 120.0
PAUSE_S, NOISE = (0.2, 1.5), 0.0005
# As films and good recorders have it: three times what the models take.
RATE = 48_000
SHARED = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType, Analyzer)
"""What objects of a session refer to, but do not own."""


ANALYZE = """
import json, resource, sys
from ser_engine import Analyzer

peaks = [(0.0, 0)]

def note(done_s, total_s):
    if done_s // 600 > peaks[-1][0] // 600:
        print(f"{done_s / 60:.0f} of {total_s / 60:.0f} minutes: {peaks[-1][1]}", file=sys.stderr, flush=True)
    peaks.append((done_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))

json.dumps(Analyzer().analyze(sys.argv[1], advance=note).to_dict())
peaks.append((float("inf"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
print(json.dumps(peaks))
"""
# A small process starts it: on Linux, a peak also counts what the process had that started another.
START = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', *sys.argv[1:]]).returncode)"


def measure(short_min: float = SHORT_MIN, long_min: float = LONG_MIN) -> dict[str, float]:
    """Return the peak of a process on a long recording, its growth by the hour, and what a short one leaves behind.

    All are in megabytes of 2^20 bytes. The growth is that from the minute at which the short one would have ended.
    Nothing is measured without the corpora.
    """
    settings = Settings.from_env()
    if not all(registry.is_available(name, settings.data) for name in CORPORA):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        long, upload = Path(folder, "long.wav"), Path(folder, "short.mp3")
        join_clips(long, long_min, settings)
        join_clips(upload, short_min, settings)
        early, whole = peak_mb(long, (60 * short_min, math.inf))
        return {
            "peak_2h_mb": round(whole),
            "growth_mb_per_hour": round((whole - early) / (long_min - short_min) * 60, 1),
            "tab_30min_mb": round(tab_mb(upload), 1),
        }


def join_clips(path: Path, minutes: float, settings: Settings) -> None:
    """Write sentences one after the other, about so many minutes; the suffix of the file decides its format."""
    rng = np.random.default_rng(0)
    clips = [clip.path for name in CORPORA for clip in registry.read_corpus(name, settings.data)]
    subtype = "PCM_16" if path.suffix == ".wav" else None
    with soundfile.SoundFile(path, "w", RATE, 1, subtype) as file:
        while file.frames < minutes * 60 * RATE:
            recording = load_audio(clips[rng.integers(len(clips))], settings)
            spoken = normalize_level(resample(recording.samples, recording.rate))
            pause = np.zeros(round(rng.uniform(*PAUSE_S) * SAMPLE_RATE), np.float32)
            sound = np.concatenate([spoken, pause])
            sound += NOISE * rng.standard_normal(len(sound)).astype(np.float32)
            file.write(np.repeat(sound, RATE // SAMPLE_RATE))


def peak_mb(recording: Path, seconds: Sequence[float], script: str = ANALYZE) -> list[float]:
    """Return the peaks of the memory of a process that analyzes a recording, up to these seconds of it.

    `script` prints pairs of the seconds so far and the peak as JSON. Raise CalledProcessError if it fails.
    """
    command = [sys.executable, "-c", START, script, str(recording)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    peaks = json.loads(done.stdout)
    unit = 1024 if sys.platform == "linux" else 1024**2
    return [max(peak for done_s, peak in peaks if done_s <= least) / unit for least in seconds]


def tab_mb(recording: Path) -> float:
    """Return the memory of a tab's session once it has shown the answer to a recording; its upload is part of it."""
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=3600).run()
    page.file_uploader(key="upload").set_value((recording.name, recording.read_bytes(), "audio/mpeg")).run()
    session = page.session_state["session"]
    if session.result is None:
        raise RuntimeError(f"{recording.name} got no answer: {session.error}")
    return held_bytes(session) / 2**20


def held_bytes(root: object) -> int:
    """Return the bytes of an object and of all that it refers to, each counted once."""
    seen: set[int] = set()
    waiting: list[Any] = [root]
    total = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, SHARED):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting += gc.get_referents(each)
        if isinstance(each, np.ndarray) and each.base is not None:
            waiting.append(each.base)
    return total
