"""This code's speed and memory beside those of an earlier commit, in turns in one run on the same machine.

`python -m benchmarks.speed` writes all figures to results/bench.json; `python -m benchmarks.speed PART ...` measures
some parts only, and `--reference COMMIT` compares with another commit. Ratios are those of medians, this code's to the
other's.

cold      cold_3s_ratio, cli_peak_mb: `ser analyze` of a clip of 3 s, a process each time
warm      warm_3s_ratio, warm_60s_ratio: the same and a minute in processes that have loaded their models
page      first_answer_ratio, page_peak_mb: from the start of the page's server to an answer in the browser, and the
          server's memory after ten answers
words     wer_fast, wer_60s: word error rate of this code; with the suffix _reference, of the other;
          headlines_same_with_words: share of clips in percent
scores    scores_same, headlines_same: shares of clips in percent
batch     batch_words_throughput: recordings a second on one core, with words and four at a time as in a batch, to the
          other's
sessions  two_sessions_ratio: two sessions at once in one process, to one after the other; this code alone
install   install_mb, install_mb_reference: what pip installs for the page, now and at `BEFORE_REBUILD`
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.bench import BENCH, recording
from ser_engine.io import write_json
from ser_engine.settings import PROJECT
from tests.speech import RATE, SENTENCES, VOICES, encode, speech

REFERENCE = "34547e12"
"""The last commit before the bundled models ran on onnxruntime."""
BEFORE_REBUILD = "620b5af"
COLD_ROUNDS, SHORT_ROUNDS, LONG_ROUNDS, PAGE_ROUNDS, ANSWERS = 5, 15, 3, 3, 10
SESSION_ROUNDS, SESSION_ANSWERS = 5, 6
CLIPS, WORD_CLIPS, MINUTES = 2000, 500, 3
SAME = 1e-3
"""How far apart probabilities may be."""
BATCH_ROUNDS = 3
SEED = 0

# Run in a folder with the code of one commit: answers each path on its standard input with one line of JSON.
ANSWERING = """
import json, sys, time
from ser_engine import Analyzer, Settings
from ser_engine.errors import SerError
analyzer = Analyzer(Settings.from_env())
for line in sys.stdin:
    given = json.loads(line)
    analyzer.model.clear_cache()
    begun, answer = time.perf_counter(), {}
    try:
        found = analyzer.analyze(given["path"], transcribe=given["words"], language=given["language"])
        answer = {"scores": found.scores.probabilities.tolist(), "label": found.scores.top}
        answer["text"] = found.transcript.text if found.transcript else ""
    except SerError as error:
        answer = {"scores": [], "label": type(error).__name__, "text": ""}
    print(json.dumps(answer | {"seconds": time.perf_counter() - begun}), flush=True)
"""

# The command line, and the most memory that it had: a parent would count its own before the start, too.
ANALYZING = """
import sys
from ser_engine.cli.main import main
code = main(["analyze", sys.argv[1]])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""

# Two sessions answer the same clip several times, after one another and at once; the seconds of each.
SESSIONS = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from ser_engine import Analyzer, Settings
analyzer, path, answers = Analyzer(Settings.from_env()), sys.argv[1], int(sys.argv[2])
def session(_):
    for _ in range(answers):
        analyzer.model.clear_cache()
        analyzer.analyze(path)
session(None)
for run in map, ThreadPoolExecutor(2).map:
    begun = time.perf_counter()
    list(run(session, range(2)))
    print(time.perf_counter() - begun)
"""


# Recordings in fours on one thread, as a worker of a batch computes them; the seconds of all.
BATCHES = """
import sys, time
from ser_engine import Analyzer, Settings
analyzer, paths = Analyzer(Settings.from_env()), sys.argv[1:]
analyzer.analyze_batch(paths[:4])
analyzer.model.clear_cache()
begun = time.perf_counter()
for first in range(0, len(paths), 4):
    analyzer.analyze_batch(paths[first:first + 4])
print(time.perf_counter() - begun)
"""


class Answerer:
    """A process with the code in a folder and its models, which answers one recording after the other."""

    def __init__(self, code: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ANSWERING],
            cwd=code,
            env=_environment(code),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self, path: Path, words: bool = True, language: str = "") -> dict[str, Any]:
        """Return the scores, the label, the text and the seconds of the answer to a recording."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(
            json.dumps({"path": str(path), "words": words, "language": language}), file=self._process.stdin, flush=True
        )
        answered: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answered

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the given parts, or all; other figures are kept."""
    parser = argparse.ArgumentParser("python -m benchmarks.speed", description="Compare speed with an earlier commit.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--reference", metavar="COMMIT", default=REFERENCE, help=f"default: {REFERENCE}")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.parts) - set(PARTS)):
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    measured: dict[str, Any] = json.loads(BENCH.read_text(encoding="utf-8")) if BENCH.exists() else {}
    measured |= measure(options.parts or list(PARTS), options.reference)
    write_json(BENCH, measured)


def measure(parts: Sequence[str] = (), reference: str = REFERENCE) -> dict[str, Any]:
    """Return the figures of these parts, or of all; raise CalledProcessError for an unknown commit."""
    found: dict[str, Any] = {}
    with earlier(reference) as other:
        for part in parts or PARTS:
            found |= PARTS[part](other)
            print(json.dumps(found), flush=True)
    return found


@contextmanager
def earlier(commit: str) -> Iterator[Path]:
    """Check a commit out into a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "earlier"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, commit], cwd=PROJECT, check=True)
        try:
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=PROJECT, check=True)


@contextmanager
def answerers(other: Path) -> Iterator[tuple[Answerer, Answerer]]:
    """Start a process with this code and one with the other's."""
    with ExitStack() as opened:
        both = Answerer(PROJECT), Answerer(other)
        for each in both:
            opened.callback(each.close)
        yield both


def cold(other: Path, rounds: int = COLD_ROUNDS) -> dict[str, Any]:
    """Return the time of the command line from nothing to the answer, and its peak of memory."""
    seconds: dict[Path, list[float]] = {PROJECT: [], other: []}
    peaks: dict[Path, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = recording(3.0, Path(folder))
        for _ in range(rounds):
            for code, times in seconds.items():
                begun = time.perf_counter()
                command = [sys.executable, "-c", ANALYZING, str(path)]
                done = subprocess.run(
                    command, cwd=code, env=_environment(code), capture_output=True, text=True, check=True
                )
                times.append(time.perf_counter() - begun)
                peaks[code] = max(peaks.get(code, 0.0), int(done.stdout.split()[-1]) / 1024)
    return {
        "cold_3s_ratio": _ratio(seconds[PROJECT], seconds[other]),
        "cold_3s_seconds": _medians(seconds[PROJECT], seconds[other]),
        "cli_peak_mb": round(peaks[PROJECT]),
        "cli_peak_mb_reference": round(peaks[other]),
    }


def warm(other: Path, short_rounds: int = SHORT_ROUNDS, long_rounds: int = LONG_ROUNDS) -> dict[str, Any]:
    """Return the time of an answer by models that are loaded."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, answerers(other) as both:
        for seconds, rounds in ((3, short_rounds), (60, long_rounds)):
            path = recording(float(seconds), Path(folder))
            times = [[each.answer(path)["seconds"] for each in both] for _ in range(1 + rounds)]
            ours, theirs = zip(*times[1:], strict=True)
            figures[f"warm_{seconds}s_ratio"] = _ratio(ours, theirs)
            figures[f"warm_{seconds}s_seconds"] = _medians(ours, theirs)
    return figures


def page(other: Path, rounds: int = PAGE_ROUNDS, answers: int = ANSWERS) -> dict[str, Any]:
    """Return the time from the start of the page to its first answer, and its memory after some answers."""
    from playwright.sync_api import sync_playwright

    clips = _clips()
    seconds: dict[Path, list[float]] = {PROJECT: [], other: []}
    peaks: dict[Path, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or None, args=["--no-sandbox"])
        for number in range(rounds):
            for code, times in seconds.items():
                wanted = [clips[n % len(clips)] for n in range(answers if number == rounds - 1 else 1)]
                first, peaks[code] = _visit(browser, code, wanted)
                times.append(first)
        browser.close()
    return {
        "first_answer_ratio": _ratio(seconds[PROJECT], seconds[other]),
        "first_answer_seconds": _medians(seconds[PROJECT], seconds[other]),
        "page_peak_mb": round(peaks[PROJECT]),
        "page_peak_mb_reference": round(peaks[other]),
    }


def _visit(browser: Any, code: Path, clips: Sequence[bytes]) -> tuple[float, float]:
    """Return the seconds from the start of a server to the first answer, and its peak in MB after all of them."""
    from benchmarks.first_paint import wait_until_healthy
    from tests.browser.pages import answered, free_port, upload

    port = free_port()
    begun = time.perf_counter()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=code, env=_environment(code), **quiet)  # type: ignore[call-overload]
    try:
        wait_until_healthy(port)
        visited = browser.new_page()
        visited.goto(f"http://127.0.0.1:{port}")
        visited.get_by_role("heading", level=1).wait_for()
        first = 0.0
        for number, clip in enumerate(clips):
            upload(visited, f"clip{number}.wav", clip)
            answered(visited, f"clip{number}.wav")
            first = first or time.perf_counter() - begun
        visited.close()
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return first, peak / 1024
    finally:
        server.terminate()
        server.wait()


def words(other: Path, clips: int = WORD_CLIPS, minutes: int = MINUTES) -> dict[str, Any]:
    """Return word error rates on clips whose sentences are known, and on recordings of about a minute made of them."""
    from tools.bundle_whisper import choose, count_errors

    chosen = choose(_corpora(), clips)
    errors: dict[str, list[tuple[int, int]]] = {}
    same: list[bool] = []
    with tempfile.TemporaryDirectory() as folder, answerers(other) as both:
        for clip in chosen:
            answers = [each.answer(clip.path, language="en") for each in both]
            same.append(answers[0]["label"] == answers[1]["label"])
            for name, answer in zip(("", "_reference"), answers, strict=True):
                errors.setdefault("wer_fast" + name, []).append(count_errors(str(clip.sentence), answer["text"]))
        for number in range(minutes):
            path, said = _minute(chosen[number::minutes], Path(folder) / f"{number}.wav")
            for name, each in zip(("", "_reference"), both, strict=True):
                text = each.answer(path, language="en")["text"]
                errors.setdefault("wer_60s" + name, []).append(count_errors(said, text))
    rates = {
        name: round(100 * sum(wrong for wrong, _ in own) / sum(spoken for _, spoken in own), 2)
        for name, own in errors.items()
    }
    return rates | {"headlines_same_with_words": round(100 * float(np.mean(same)), 2)}


def _minute(clips: Sequence[Any], path: Path) -> tuple[Path, str]:
    """Write a recording of about a minute of these clips; return its path and its words."""
    from ser_engine.audio.clean import resample
    from ser_engine.audio.decode import load_audio
    from ser_engine.settings import Settings

    parts: list[Any] = []
    said: list[str] = []
    for clip in clips:
        if sum(map(len, parts)) >= 60 * RATE:
            break
        read = load_audio(clip.path, Settings())
        parts += [resample(read.samples, read.rate), np.zeros(RATE // 2, np.float32)]
        said.append(str(clip.sentence))
    path.write_bytes(encode(np.concatenate(parts)))
    return path, " ".join(said)


def scores(other: Path, clips: int = CLIPS) -> dict[str, Any]:
    """Return the shares of clips whose probabilities, by voice alone, and whose headlines are the other's."""
    files = sorted(_corpora().rglob("*.opus"))
    rows = np.random.default_rng(SEED).choice(len(files), min(clips, len(files)), replace=False)
    close, same = [], []
    with answerers(other) as both:
        for row in sorted(rows):
            ours, theirs = (each.answer(files[row], words=False) for each in both)
            same.append(ours["label"] == theirs["label"])
            apart = np.abs(np.subtract(ours["scores"], theirs["scores"])) if same[-1] else np.ones(1)
            close.append(bool(apart.max(initial=0.0) <= SAME))
    return {
        "scores_same": round(100 * float(np.mean(close)), 2),
        "headlines_same": round(100 * float(np.mean(same)), 2),
        "scores_clips": len(close),
    }


def batch(other: Path, rounds: int = BATCH_ROUNDS) -> dict[str, Any]:
    """Return how many times as many recordings are analyzed with words as by the other code, on one core."""
    seconds: dict[Path, list[float]] = {PROJECT: [], other: []}
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, clip in enumerate(_clips()):
            paths.append(Path(folder) / f"{number}.wav")
            paths[-1].write_bytes(clip)
        for _ in range(rounds):
            for code, times in seconds.items():
                command = [sys.executable, "-c", BATCHES, *map(str, paths)]
                environment = _environment(code) | {"OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=True)
                times.append(float(done.stdout))
    return {
        "batch_words_throughput": round(1 / _ratio(seconds[PROJECT], seconds[other]), 2),
        "batch_words_seconds": _medians(seconds[PROJECT], seconds[other]),
    }


def sessions(_: Path, rounds: int = SESSION_ROUNDS, answers: int = SESSION_ANSWERS) -> dict[str, Any]:
    """Return the time of two sessions at once, to that of one after the other."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = recording(3.0, Path(folder))
        for _ in range(rounds):
            command = [sys.executable, "-c", SESSIONS, str(path), str(answers)]
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
            after_another, at_once = map(float, done.stdout.split())
            ratios.append(at_once / after_another)
    return {"two_sessions_ratio": round(median(ratios), 3)}


def install(_: Path) -> dict[str, Any]:
    """Return the megabytes of the packages that the page needs."""
    with earlier(BEFORE_REBUILD) as before:
        return {"install_mb": _installed_mb(PROJECT), "install_mb_reference": _installed_mb(before)}


def _installed_mb(code: Path) -> int:
    """Install what a commit's page needs into a folder, without bytecode, and return its size."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", folder]
        subprocess.run([*command, "-r", code / "requirements.txt"], check=True)
        return round(sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 2**20)


def _clips() -> list[bytes]:
    """Return each sentence in each voice, as WAV."""
    return [encode(speech(text, voice)) for text in SENTENCES for voice in VOICES]


def _corpora() -> Path:
    folder = os.environ.get("SER_DATA")
    if not folder:
        raise RuntimeError("SER_DATA names the folder of the corpora.")
    return Path(folder)


def _environment(code: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(code)}


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return round(median(ours) / median(theirs), 3)


def _medians(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    return {"now": round(median(ours), 2), "reference": round(median(theirs), 2)}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cold": cold,
    "warm": warm,
    "page": page,
    "words": words,
    "scores": scores,
    "batch": batch,
    "sessions": sessions,
    "install": install,
}

if __name__ == "__main__":
    main()
