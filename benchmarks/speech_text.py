"""What paper-1's HuBERT+BERT costs here: an answer, batches, loading, and training from frozen encoders.

HuBERT-base and BERT-base at full size with random weights, the bundled Whisper, on two threads: see
`speech_text_model`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
    """Return `pipeline_speedup`, warm, from a 3-second recording to its answer, and whether both answers are the same.

    `pipeline_score_difference` is the largest difference of any emotion's score between both;
    `pipeline_score_spread` that between two emotions, beside which it has to be seen.
    """
    clip = recording(folder)
    analyzer = Analyzer(Settings(model=str(built.frozen), threads=threads))
    analyzer.warm_up()
    analyses = [_ours(analyzer, clip) for _ in tqdm(range(1 + repetitions), desc="our pipeline")]
    answer, voice = analyses[-1], analyses[-1].speech.samples
    plain, seconds = Plain.load(built), []
    for _ in tqdm(range(1 + plain_repetitions), desc="plain pipeline"):
        begun = time.perf_counter()
        words, probabilities = plain.analyze(clip, voice)
        seconds.append(time.perf_counter() - begun)
    # The first of each is warm-up.
    ours = float(np.median([analysis.seconds["total"] for analysis in analyses[1:]]))
    theirs = float(np.median(seconds[1:]))
    said = answer.transcript.text if answer.transcript else ""
    return {
        "pipeline_speedup": round(theirs / ours, 2),
        "pipeline_seconds": {"ours": round(ours, 3), "plain": round(theirs, 3)},
        "pipeline_stages": {
            stage: round(float(np.median([a.seconds[stage] for a in analyses[1:]])), 4) for stage in STAGES
        },
        "pipeline_words": {"ours": said, "plain": words},
        "pipeline_same_words": bool(said and count_errors(words, said)[0] == 0),
        "pipeline_score_difference": float(f"{np.abs(answer.scores.probabilities - probabilities).max():.2g}"),
        "pipeline_score_spread": round(float(np.ptp(probabilities)), 3),
    }


def _ours(analyzer: Analyzer, clip: Path) -> Analysis:
    """Analyse a recording as if it had not been heard before."""
    analyzer.model.clear_cache()
    return analyzer.analyze(clip.read_bytes())


def recording(folder: Path, seconds: float = CLIP_S) -> Path:
    """Write a wav of one sentence and the pauses around it, `seconds` long, and return its path."""
    samples, length = speech(), round(seconds * SAMPLE_RATE)
    first = (len(samples) - length) // 2
    path = folder / f"{seconds:g}s.wav"
    path.write_bytes(audio.encode_wav(samples[first : first + length], SAMPLE_RATE))
    return path


def batches(built: Built, count: int = CLIPS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return `batch_throughput_ratio` of clips with their words scored together and one by one, and `padding_waste`.

    Both ways take turns, so that a machine that grows slower slows both. The processor's seconds, of all threads
    together, tell what is saved from what is only spread over the cores. `padding_waste` is the share of all samples
    in the batches that the speech encoder was given that were padding.
    """
    model = SpeechText.load(built.frozen, Settings())
    voices, words = clips(count)
    with _counted(model) as samples:
        model.predict(voices, words)  # warm
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
        "batch_of": {"clips": count, "rounds": rounds, "batches": samples["batches"]},
        "padding_waste": round(1 - samples["real"] / samples["padded"], 3),
    }


@contextmanager
def _counted(model: SpeechText) -> Iterator[dict[str, int]]:
    """Count the batches that the speech encoder is given, their samples with padding, and those that are real."""
    counts = {"batches": 0, "padded": 0, "real": 0}
    counting = threading.Lock()  # batches are computed side by side

    def count(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        values, lengths = inputs
        with counting:
            counts["batches"] += 1
            counts["padded"] += values.numel()
            counts["real"] += sum(lengths)

    assert model.network.speech is not None
    hook = model.network.speech.register_forward_pre_hook(count)
    yield counts
    hook.remove()


@contextmanager
def _timed(wall: np.ndarray, processor: np.ndarray, way: int) -> Iterator[None]:
    """Add the seconds of a stretch, and the processor's, to those of one way."""
    begun, computing = time.perf_counter(), time.process_time()
    yield
    wall[way] += time.perf_counter() - begun
    processor[way] += time.process_time() - computing


def _difference(some: Sequence[Scores], others: Sequence[Scores]) -> float:
    pairs = zip(some, others, strict=True)
    return max(float(np.abs(one.probabilities - other.probabilities).max()) for one, other in pairs)


def loading(ways: Mapping[str, Path]) -> dict[str, Any]:
    """Return `load_memory_ratio`, peak memory over the weights' bytes: the worst of the ways in which models lie."""
    found = {way: speech_text_load.measure(folder) for way, folder in tqdm(ways.items(), desc="loading")}
    ratios = {way: one["peak_mb"] / one["weights_mb"] for way, one in found.items()}
    return {"load_memory_ratio": round(max(ratios.values()), 3), "load_memory": found}
