"""HuBERT and BERT (Sharma, III.D.2): latency, batches, loading, and training on frozen encoders.

HuBERT-base and BERT-base at full size with random weights (`speech_text_model`), on two threads.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import speech_text_cache, speech_text_load
from benchmarks.speech_text_model import FULL, Built, Size, build, clips
from benchmarks.speech_text_plain import Plain
from ser_engine.analyzer import Analyzer
from ser_engine.audio import decode as audio
from ser_engine.models.speech_text import SpeechText
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, STAGES, Analysis, Scores
from tests.speech import speech
from tests.threads import computing_on
from tools.bundle_whisper import count_errors

THREADS = 2
CLIP_S, REPETITIONS, PLAIN_REPETITIONS = 3.0, 15, 8
CLIPS, ROUNDS = 64, 2


def measure(
    size: Size = FULL,
    repetitions: int = REPETITIONS,
    plain_repetitions: int = PLAIN_REPETITIONS,
    count: int = CLIPS,
    rounds: int = ROUNDS,
    cached: int = speech_text_cache.CLIPS,
    epochs: int = speech_text_cache.EPOCHS,
    threads: int = THREADS,
) -> dict[str, Any]:
    """Return the figures of `answers`, `batches`, `loading` and `speech_text_cache.measure`; times are seconds."""
    with tempfile.TemporaryDirectory() as folder, computing_on(threads):
        built = build(Path(folder), size)
        return {
            **answers(built, Path(folder), repetitions, plain_repetitions, threads),
            **batches(built, count, rounds),
            **loading({"frozen": built.frozen, "whole": built.whole}),
            **speech_text_cache.measure(built, cached, epochs),
        }


def answers(
    built: Built,
    folder: Path,
    repetitions: int = REPETITIONS,
    plain_repetitions: int = PLAIN_REPETITIONS,
    threads: int = THREADS,
) -> dict[str, Any]:
    """Return the latency on a 3-second recording, compared with the plain pipeline, and whether both agree.

    `pipeline_score_difference` is the largest difference between both pipelines' scores; `pipeline_score_spread`, the
    largest between two emotions, is its scale.
    """
    clip = recording(folder)
    analyzer = Analyzer(Settings(model=str(built.frozen), threads=threads))
    analyzer.warm_up()
    analyses = [_analyze_uncached(analyzer, clip) for _ in tqdm(range(1 + repetitions), desc="this project")]
    answer, voice = analyses[-1], analyses[-1].speech.samples
    plain, seconds = Plain.load(built), []
    for _ in tqdm(range(1 + plain_repetitions), desc="plain pipeline"):
        begun = time.perf_counter()
        words, probabilities = plain.analyze(clip, voice)
        seconds.append(time.perf_counter() - begun)
    # The first of each is warm-up.
    ours = float(np.median([analysis.seconds["total"] for analysis in analyses[1:]]))
    theirs = float(np.median(seconds[1:]))
    transcript = answer.transcript.text if answer.transcript else ""
    return {
        "pipeline_speedup": round(theirs / ours, 2),
        "pipeline_seconds": {"ours": round(ours, 3), "plain": round(theirs, 3)},
        "pipeline_stages": {
            stage: round(float(np.median([a.seconds[stage] for a in analyses[1:]])), 4) for stage in STAGES
        },
        "pipeline_words": {"ours": transcript, "plain": words},
        "pipeline_same_words": bool(transcript and count_errors(words, transcript)[0] == 0),
        "pipeline_score_difference": float(f"{np.abs(answer.scores.probabilities - probabilities).max():.2g}"),
        "pipeline_score_spread": round(float(np.ptp(probabilities)), 3),
    }


def _analyze_uncached(analyzer: Analyzer, clip: Path) -> Analysis:
    """Analyze a recording with an empty cache."""
    analyzer.model.clear_cache()
    return analyzer.analyze(clip.read_bytes())


def recording(folder: Path, seconds: float = CLIP_S) -> Path:
    """Write a WAV file of one sentence and the pauses around it, `seconds` long, and return its path."""
    samples, length = speech(), round(seconds * SAMPLE_RATE)
    first = (len(samples) - length) // 2
    path = folder / f"{seconds:g}s.wav"
    path.write_bytes(audio.encode_wav(samples[first : first + length], SAMPLE_RATE))
    return path


def batches(built: Built, count: int = CLIPS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return `batch_throughput_ratio`: clips per second in batches over clips per second one by one.

    Both take turns, so that changes in load affect both. Processor seconds of all threads show what is saved, as
    opposed to spread over cores.
    """
    model = SpeechText.load(built.frozen, Settings())
    voices, words = clips(count)
    model.predict(voices, words)  # warm up
    wall, processor = np.zeros(2), np.zeros(2)
    for _ in tqdm(range(rounds), desc="batches"):
        model.clear_cache()
        with _timed(wall, processor, 0):
            alone = [model.predict([voice], [said])[0] for voice, said in zip(voices, words, strict=True)]
        model.clear_cache()
        with _timed(wall, processor, 1):
            together = model.predict(voices, words)
    ways = ("one_by_one", "together")
    return {
        "batch_throughput_ratio": round(float(wall[0] / wall[1]), 2),
        "batch_seconds": dict(zip(ways, (wall / rounds).round(2).tolist(), strict=True)),
        "batch_processor_seconds": dict(zip(ways, (processor / rounds).round(2).tolist(), strict=True)),
        "batch_score_difference": float(f"{_difference(alone, together):.2g}"),
        "batch_of": {"clips": count, "rounds": rounds},
    }


@contextmanager
def _timed(wall: np.ndarray, processor: np.ndarray, way: int) -> Iterator[None]:
    """Add wall and processor seconds to those of one way."""
    begun, computing = time.perf_counter(), time.process_time()
    yield
    wall[way] += time.perf_counter() - begun
    processor[way] += time.process_time() - computing


def _difference(some: Sequence[Scores], others: Sequence[Scores]) -> float:
    pairs = zip(some, others, strict=True)
    return max(float(np.abs(one.scores.probabilities - other.scores.probabilities).max()) for one, other in pairs)


def loading(ways: Mapping[str, Path]) -> dict[str, Any]:
    """Return `load_memory_ratio`, the peak memory while loading over the size of the weights; the worst of all ways."""
    figures = {way: speech_text_load.measure(folder) for way, folder in tqdm(ways.items(), desc="loading")}
    ratios = {way: one["peak_mb"] / one["weights_mb"] for way, one in figures.items()}
    return {"load_memory_ratio": round(max(ratios.values()), 3), "load_memory": figures}
