"""Choose the thresholds of `ser_engine.speakers.clustering`: `SER_DATA=CORPORA python -m tools.tune_speakers`.

Built conversations and single voices of speakers whom `benchmarks.speakers` does not measure are embedded once (in
the cache, SER_CACHE) and clustered with many thresholds. Of those with which at least `SINGLE_RIGHT` of the single
voices are found to be one, the thresholds with the least errors are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from benchmarks.conversations import (
    CORPORA,
    MEETING,
    QUIET,
    Clips,
    build_conversation,
    build_single_voice,
    draw_speakers,
    neutral_clips,
    read_clips,
)
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_samples
from ser_engine.data.corpora import registry
from ser_engine.errors import SerError
from ser_engine.io import write_arrays
from ser_engine.models import overlap_detector, voice_embedder
from ser_engine.models.onnx_graph import MODEL
from ser_engine.models.store import read_config
from ser_engine.settings import Settings
from ser_engine.speakers.clustering import THRESHOLDS, Thresholds
from ser_engine.speakers.diarization import Embeddings, Turn, embed, find_turns
from ser_engine.types import SAMPLE_RATE, Span

COUNTS = {"quiet": 48, "meeting": 32, "single": 160}
"""Recordings of each kind; of the single voices, a third is in a room."""
SEED, SINGLE_RIGHT = 10, 0.99
GRID = {
    "same_a": (-0.2, -0.1, 0.0, 0.1, 0.2),
    "same_b": (0.1, 0.15, 0.2, 0.25),
    "distance": (0.6, 0.65, 0.7, 0.75),
    "same_most_s": (8.0, 16.0, 25.0),
    "voice_s": (1.5, 2.0, 3.0),
}
"""The values that are tried."""
ORDER = (("same_a", "same_b"), ("distance", "same_most_s"), ("voice_s",), ("same_a",))
"""Which thresholds are searched together, one search after the other."""
FRAME_S = 0.05


@dataclass(frozen=True)
class Example:
    """The embeddings of a recording and its turns; of a single voice, none."""

    kind: str
    embeddings: Embeddings
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Figures:
    """Shares: of errors in conversations and in meetings, and of single voices that are found to be one."""

    quiet: float
    meeting: float
    single: float

    @property
    def loss(self) -> float:
        """What is minimized; meetings count half, since simulated ones are not real ones."""
        return self.quiet + self.meeting / 2 + 100 * max(0.0, SINGLE_RIGHT - self.single)


def main() -> int:
    """Search and print; return 2 if that is not possible."""
    settings = Settings.from_env()
    try:
        examples = list(read_examples(settings))
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    best = THRESHOLDS
    figures = score(examples, best)
    print(f"now: {best}\n  {figures}")
    for names in ORDER:
        for values in tqdm(list(product(*(GRID[name] for name in names))), desc=" ".join(names), mininterval=30):
            tried = replace(best, **dict(zip(names, values, strict=True)))
            found = score(examples, tried)
            if found.loss < figures.loss:
                best, figures = tried, found
    print(f"best: {best}\n  {figures}")
    return 0


def read_examples(settings: Settings) -> Iterator[Example]:
    """Yield the examples, embedded before or now; raise CorpusError if the corpora are missing."""
    clips: Clips = {}
    for kind, count in COUNTS.items():
        for number in tqdm(range(count), desc=kind, mininterval=30):
            file = settings.cache / "speakers" / _weights(settings) / f"{kind}-{number}.npz"
            if not file.exists():
                if not clips:
                    corpora = [name for name in CORPORA if registry.is_available(name, settings.data)]
                    clips = read_clips(corpora, "tune", settings)
                samples, turns = build(kind, number, clips, settings)
                speech = clean_speech(load_samples(samples, SAMPLE_RATE, settings), settings)
                assert speech.recording is not None
                _write(file, embed(speech.recording, speech.segments, settings), turns)
            yield _read(file, kind)


def build(kind: str, number: int, clips: Clips, settings: Settings) -> tuple[NDArray[np.float32], tuple[Turn, ...]]:
    """Return a recording, float32 [n] at 16 kHz, and its turns; the same number gives the same one."""
    rng = np.random.default_rng([SEED, list(COUNTS).index(kind), number])
    if kind == "single":
        scene = replace(MEETING, overlap=0.0) if number % 3 == 0 else QUIET
        return build_single_voice(clips, rng, number % 2 == 1, settings, scene), ()
    voices, scene = (2 + number % 3, MEETING) if kind == "meeting" else (2 + number % 2, QUIET)
    pools = neutral_clips(clips) if number // 8 % 3 == 0 else clips
    same_gender = number // 4 % 2 == 0
    names = draw_speakers(pools, rng, voices, same_corpus=number // 2 % 2 == 0, same_gender=same_gender)
    conversation = build_conversation(pools, rng, names, settings, scene)
    return conversation.samples, conversation.turns


def score(examples: Sequence[Example], thresholds: Thresholds) -> Figures:
    """Return the figures with some thresholds."""
    errors, totals = dict.fromkeys(COUNTS, 0.0), dict.fromkeys(COUNTS, 0.0)
    for example in examples:
        turns = find_turns(example.embeddings, thresholds=thresholds)
        if example.kind == "single":
            error, total = float(len({turn.speaker for turn in turns}) != 1), 1.0
        else:
            error, total = count_errors(example.turns, turns)
        errors[example.kind] += error
        totals[example.kind] += total
    return Figures(
        errors["quiet"] / totals["quiet"],
        errors["meeting"] / totals["meeting"],
        1 - errors["single"] / totals["single"],
    )


def count_errors(reference: Sequence[Turn], found: Sequence[Turn]) -> tuple[float, float]:
    """Return the frames that are missed, false or another speaker's, and all frames of the reference."""
    count = round(max(turn.end for turn in (*reference, *found)) / FRAME_S) + 1
    true, own = _activity(reference, count), _activity(found, count)
    common = true @ own.T
    right = common[linear_sum_assignment(-common)].sum()
    return float(np.maximum(true.sum(axis=0), own.sum(axis=0)).sum() - right), float(true.sum())


def _activity(turns: Sequence[Turn], count: int) -> NDArray[np.float64]:
    """Return who speaks in each frame, float64 [speakers, count]."""
    activity = np.zeros((max((turn.speaker for turn in turns), default=0) + 1, count))
    for turn in turns:
        activity[turn.speaker, round(turn.start / FRAME_S) : round(turn.end / FRAME_S)] = 1
    return activity


def _weights(settings: Settings) -> str:
    """Return what names the models that embed."""
    folders = [settings.models_dir / model.ID for model in (voice_embedder, overlap_detector)]
    return "-".join(str(read_config(folder)["weights"][MODEL])[:8] for folder in folders)


def _write(file: Path, embeddings: Embeddings, turns: Sequence[Turn]) -> None:
    write_arrays(
        file,
        counts=np.array(embeddings.counts),
        vectors=embeddings.vectors,
        turns=np.array([[turn.start, turn.end, turn.speaker] for turn in turns]).reshape(-1, 3),
        **{name: _times(getattr(embeddings, name)) for name in ("segments", "parts", "overlaps")},
    )


def _times(spans: Sequence[Span]) -> NDArray[np.float64]:
    return np.array([[span.start, span.end] for span in spans]).reshape(-1, 2)


def _read(file: Path, kind: str) -> Example:
    with np.load(file, allow_pickle=False) as arrays:
        segments, parts, overlaps = (
            tuple(Span(start, end) for start, end in arrays[name].tolist())
            for name in ("segments", "parts", "overlaps")
        )
        turns = tuple(Turn(start, end, int(speaker)) for start, end, speaker in arrays["turns"].tolist())
        counts = tuple(arrays["counts"].tolist())
        return Example(kind, Embeddings(segments, counts, parts, arrays["vectors"], overlaps), turns)


if __name__ == "__main__":
    sys.exit(main())
