"""Jobs over archives: their speed, what they add to the analyses, memory, and what kills leave behind.

Everything runs as people run it, as `ser batch` in processes of its own. `python -m benchmarks.batch --small` tries it
out in a few minutes and writes nothing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.batch_archive import CORPUS, write_calls, write_stubs
from ser_engine.batch.output import open_output
from ser_engine.data.corpora import registry
from ser_engine.settings import Settings
from tests.ser_engine.tiny_listener import tiny_analyzer
from tests.speech import SENTENCES, VOICES, speech_wav

WORKERS = 2
EXACT = ("label", "error", "duration_s", "transcript", "sha256")
EXACT_SEGMENTS = ("label", "text", "start_s", "end_s")
CLOSE = 1e-3
"""How far probabilities of the two engines may be apart, which batch recordings differently."""
# The same recordings through `Analyzer` alone, in batches as of a worker; the models are loaded first, as there.
PLAIN = """
import sys
from dataclasses import replace
from pathlib import Path
from ser_engine import Analyzer, Settings
from ser_engine.batch.sources import Item
from ser_engine.batch.worker import analyze_batch, cut_batches
analyzer = Analyzer(replace(Settings.from_env(), threads=1))
analyzer.warm_up()
for batch in cut_batches([Item(path) for path in sys.argv[1:]], analyzer.settings):
    analyze_batch(batch, analyzer)
"""
# Bytes of all weights that a worker hands to onnxruntime until its models are loaded.
WEIGHTS = """
from onnxruntime import OrtValue
sizes, plain = [], OrtValue.ortvalue_from_numpy
OrtValue.ortvalue_from_numpy = lambda array, *rest: sizes.append(array.nbytes) or plain(array, *rest)
from ser_engine import Analyzer, Settings
Analyzer(Settings.from_env()).warm_up()
print(sum(sizes))
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    calls: int = 20
    minutes: float = 3.0
    calls_with_words: int = 8
    stubs: int = 100_000
    kills: int = 20
    clips: int = 400


def measure(size: Size = Size()) -> dict[str, Any]:
    """Return the figures; those of speech are left out without the corpus."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = measure_stubs(folder / "stubs", size.stubs)
        tiny = tiny_analyzer(folder / "tiny").settings
        figures |= measure_kills(folder / "kills", size, tiny)
        figures |= measure_ray(folder / "ray", tiny)
        settings = Settings.from_env()
        if registry.is_available(CORPUS, settings.data):
            figures |= measure_speed(folder / "speed", size, settings)
        return figures


def measure_speed(folder: Path, size: Size, settings: Settings) -> dict[str, float]:
    """Return the hours of sound per hour, and how two workers compare with one, Ray and the bare analyses."""
    hours = write_calls(folder / "calls", size.calls, size.minutes, settings)
    calls = sorted((folder / "calls").iterdir())
    two = seconds_of(batch(folder / "calls", folder / "two", WORKERS, "--no-transcript"))
    one = seconds_of(batch(folder / "calls", folder / "one", 1, "--no-transcript"))
    halves = [[str(call) for call in calls[half::WORKERS]] for half in range(WORKERS)]
    bare = seconds_of(*([sys.executable, "-c", PLAIN, *half] for half in halves), environment={"SER_TRANSCRIBE": "no"})
    ray = seconds_of(batch(folder / "calls", folder / "ray", WORKERS, "--no-transcript", "--engine", "ray"))
    with_words = calls[: size.calls_with_words]
    words = seconds_of(batch(with_words[0], folder / "words", WORKERS, *map(str, with_words[1:])))
    share = len(with_words) / len(calls)
    return {
        "batch_realtime_factor_words": round(hours * share / words, 1),
        "batch_realtime_factor_voice": round(hours / two, 1),
        "batch_scaling": round(one / two, 2),
        "batch_overhead": round(two / bare, 3),
        "batch_ray_ratio": round(ray / two, 2),
    }


def measure_stubs(folder: Path, count: int) -> dict[str, float]:
    """Return the peak memory of all processes over many files, less the weights, in megabytes of 2^20 bytes.

    Pages that processes share, such as libraries, count once.
    """
    write_stubs(folder / "stubs", count)
    environment = os.environ | {"SER_TRANSCRIBE": "no"}
    weights = subprocess.run(
        [sys.executable, "-c", WEIGHTS], env=environment, capture_output=True, text=True, check=True
    )
    begun = time.perf_counter()
    with start(batch(folder / "stubs", folder / "out", WORKERS, "--no-transcript")) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(1)
    if (rows := open_output(folder / "out").recordings.count_rows()) != count:
        raise RuntimeError(f"{rows} of {count} files have a row")
    return {
        "batch_100k_peak_mb": round((peak - WORKERS * int(weights.stdout)) / 2**20),
        "batch_100k_files_per_s": round(count / (time.perf_counter() - begun)),
    }


def measure_kills(folder: Path, size: Size, tiny: Settings) -> dict[str, int]:
    """Return how many rows are missing and how many are there twice after kills at random moments."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    sounds = [speech_wav(text, voice) for text in SENTENCES for voice in VOICES]
    for number in range(size.clips):
        (clips / f"{number:04}.wav").write_bytes(sounds[number % len(sounds)])
    rng = random.Random(0)
    command = [*batch(clips, folder / "out", WORKERS), "--resume"]
    for _ in range(size.kills):
        with start(command, environment_of(tiny)) as process:
            _wait_for(rng.uniform(0, 12), process)
            process.kill()
    seconds_of(command, environment=environment_of(tiny))
    files = open_output(folder / "out").recordings.to_table(["file"])["file"].to_pylist()
    return {
        "batch_resume_lost_rows": size.clips - len(set(files)),
        "batch_duplicate_rows": len(files) - len(set(files)),
    }


def _wait_for(seconds: float, process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def measure_ray(folder: Path, tiny: Settings) -> dict[str, bool]:
    """Return whether both engines write the same rows."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    for text in SENTENCES:
        for voice in VOICES:
            (clips / f"{SENTENCES[text]}-{voice}.wav").write_bytes(speech_wav(text, voice))
    (clips / "damaged.wav").write_bytes(speech_wav()[:20])
    for engine in ("local", "ray"):
        command = batch(clips, folder / engine, WORKERS, "--engine", engine)
        seconds_of(command, environment=environment_of(tiny))
    return {"ray_rows_equal": same_rows(folder / "local", folder / "ray")}


def same_rows(one: Path, other: Path) -> bool:
    """Whether two outputs hold the same rows, probabilities within `CLOSE`, whatever their order."""
    pairs = [
        (open_output(one).recordings, open_output(other).recordings, ["file"], EXACT),
        (
            open_output(one).segments,
            open_output(other).segments,
            ["file", "number"],
            ("label", "text", "start_s", "end_s"),
        ),
    ]
    for own, others, key, exact in pairs:
        tables = [dataset.to_table().sort_by([(name, "ascending") for name in key]) for dataset in (own, others)]
        if any(not tables[0][name].equals(tables[1][name]) for name in (*key, *exact)):
            return False
        if not _close(*(table["probabilities"].to_pylist() for table in tables)):
            return False
    return True


def _close(left: Sequence[Any], right: Sequence[Any]) -> bool:
    for one, other in zip(left, right, strict=True):
        if (one is None) != (other is None):
            return False
        if one is not None and any(abs(one[label] - other[label]) > CLOSE for label in one):
            return False
    return True


def batch(source: Path, out: Path, workers: int, *options: str) -> list[str]:
    """Return a command."""
    own = ["-o", str(out), "--workers", str(workers), "--progress", "none"]
    return [sys.executable, "-m", "ser_engine", "batch", str(source), *options, *own]


def environment_of(tiny: Settings) -> dict[str, str]:
    """Return the environment in which a tiny model is the default."""
    return {"SER_MODELS_DIR": str(tiny.models_dir), "SER_MODEL": "tiny", "SER_TRANSCRIBE": "no", "SER_SPEAKERS": "off"}


@contextmanager
def start(command: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process on one thread, and wait for its end."""
    own = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    process = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else b""))
    reader.start()
    yield process
    process.wait()
    reader.join()
    if process.returncode not in (0, -9):
        raise RuntimeError(f"{' '.join(command[:6])} failed: {errors[0].decode(errors='replace').strip()}")


def seconds_of(*commands: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """Return how long commands take that run side by side; raise RuntimeError where one fails."""
    begun = time.perf_counter()
    own = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    processes = [subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL) for command in commands]
    if any(process.wait() for process in processes):
        raise RuntimeError(f"{' '.join(commands[0][:6])} failed")
    return time.perf_counter() - begun


def memory_of(pid: int) -> int:
    """Return the bytes of a process and those that it started; what they share counts once."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            own = process.memory_full_info()
            total += getattr(own, "pss", 0) or own.uss
    except psutil.Error:  # one has just ended
        pass
    return total


def main() -> None:
    """Try everything out on a little of it, and print the figures."""
    small = Size(calls=4, minutes=0.5, calls_with_words=2, stubs=500, kills=2, clips=40)
    print(json.dumps(measure(small if "--small" in sys.argv else Size()), indent=2))


if __name__ == "__main__":
    main()
