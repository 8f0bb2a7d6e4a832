"""Fit the weights of `ser_engine.audio.voice_evidence` and print them: `python -m tools.fit_speech_detection`.

Voices are the clips of ASED and EmoGator at which the speech detector is undecided, other sounds are generated ones
and the recorded instruments. With the weights, the shares of refused voices and accepted sounds are printed for several
sums; half of the speakers and every second sound are kept apart for them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.sounds import generate, read_instruments
from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import normalize_level
from ser_engine.audio.vad import POSSIBLE, SURE, slowed_probabilities, speech_probabilities
from ser_engine.audio.voice_evidence import measure_evidence
from ser_engine.data.corpora import registry
from ser_engine.settings import Settings

CORPORA = {"ased": 4, "emogator": 16}
"""Of which every so manieth clip is used."""
SOUNDS, SEED = 360, 1  # the benchmark has seed 0
SUMS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)

Samples = NDArray[np.float32]


def main() -> None:
    """Fit on one half, print the rates of the other."""
    settings = Settings.from_env()
    voices = list(_measure_voices(settings))
    speakers = sorted({speaker for speaker, _ in voices})
    sounds = [_measure(samples) for _, samples in (*generate(SOUNDS, SEED), *read_instruments(settings.data))]
    rows = np.array([row for _, row in voices] + sounds)
    is_voice = np.arange(len(rows)) < len(voices)
    groups = np.array([speakers.index(speaker) for speaker, _ in voices] + [*range(len(sounds))]) % 2 == 0
    # Both kinds count the same; sounds that the detector is sure of are no matter of these weights.
    undecided = (rows[:, 4] >= POSSIBLE) & (rows[:, 4] < SURE)
    train = groups & undecided
    weights = np.where(is_voice, 1 / is_voice[train].sum(), 1 / (~is_voice[train]).sum())
    fitted = LogisticRegression().fit(rows[train, :4], is_voice[train], sample_weight=len(rows) * weights[train])
    print("WEIGHTS", fitted.coef_[0].round(2).tolist(), "BIAS", fitted.intercept_[0].round(2))
    scores = np.where(undecided, fitted.decision_function(rows[:, :4]), np.where(rows[:, 4] < SURE, -99, 99))
    for least in SUMS:
        refused = (scores < least)[~groups & is_voice].mean()
        accepted = (scores >= least)[~groups & ~is_voice].mean()
        print(f"from {least}: {refused:.1%} of the undecided voices refused, {accepted:.1%} of the sounds accepted")


def _measure_voices(settings: Settings) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for corpus, step in CORPORA.items():
        for clip in registry.read_corpus(corpus, settings.data)[::step]:
            recording = load_audio(clip.path, settings)
            row = _measure(resample(recording.samples, recording.rate))
            if row[4] < SURE:
                yield clip.speaker, row


def _measure(samples: Samples) -> NDArray[np.float64]:
    """Return the evidence of a recording, and the detector's highest probability, float64 [5]."""
    samples = normalize_level(samples)
    probabilities = speech_probabilities(samples)
    slowed = slowed_probabilities(samples, len(probabilities))
    return np.array([*measure_evidence(samples, probabilities, slowed), probabilities.max(initial=0.0)])


if __name__ == "__main__":
    main()
