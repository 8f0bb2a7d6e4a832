"""Overlapped speech is found where two voices are mixed, and not where they take turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ser_engine.audio.quality import normalize_level
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.overlap_detection import load_detector
from ser_engine.models.overlap_detector import build_detector
from ser_engine.models.overlap_onnx import CHUNK, FRAME_S, MARGIN
from ser_engine.models.store import TENSORS, read_tensors
from ser_engine.settings import PROJECT, Settings
from ser_engine.speakers.diarization import detect_overlaps
from ser_engine.speakers.spans import intersect
from ser_engine.types import Span, total_s
from tests.speech import RATE, SENTENCES, noise, speech

TEXT = " ".join(SENTENCES)
MAN, WOMAN = speech(TEXT, "man"), speech(TEXT, "woman")


def test_two_voices_at_once_are_found_and_turns_are_not() -> None:
    length = min(len(MAN), len(WOMAN))
    both = MAN[:length] + WOMAN[:length]
    samples = normalize_level(np.concatenate([MAN[:length], both, WOMAN[:length]]))
    middle = Span(length / RATE, 2 * length / RATE)
    overlaps = detect_overlaps(samples, Settings())
    inside = total_s(intersect(overlaps, [middle]))
    assert inside > 0.15 * middle.duration_s
    assert total_s(overlaps) - inside < 0.3


@pytest.mark.parametrize("seconds", [0.01, 0.5, 5.99, 6.0, 20.3])
def test_every_moment_has_probabilities(seconds: float) -> None:
    samples = noise(seconds, 0.05)
    probabilities = load_detector(Settings()).probabilities(samples)
    assert probabilities.shape == (-(-len(samples) // round(FRAME_S * RATE)), 3)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_chunk_does_not_depend_on_what_is_far_from_it() -> None:
    detector = load_detector(Settings())
    samples = normalize_level(np.resize(MAN, CHUNK * 3))
    frames = round((CHUNK - 2 * MARGIN) / RATE / FRAME_S)
    changed = samples.copy()
    changed[2 * CHUNK :] = 0
    np.testing.assert_allclose(
        detector.probabilities(samples)[:frames], detector.probabilities(changed)[:frames], atol=1e-5
    )


def test_weights_are_small_and_missing_ones_are_named(tmp_path: Path) -> None:
    assert (PROJECT / "models" / "overlap" / TENSORS).stat().st_size < 1_000_000
    (tmp_path / "overlap").mkdir()
    with pytest.raises(WeightsUnavailable, match="overlap"):
        load_detector(Settings(models_dir=tmp_path))


def test_probabilities_are_those_of_the_network_that_was_trained() -> None:
    samples = normalize_level(np.concatenate([MAN, WOMAN]))[: CHUNK - 2 * MARGIN]
    fast, same = (load_detector(Settings(engine=engine)).probabilities(samples) for engine in ("onnx", "torch"))
    np.testing.assert_allclose(fast, same, atol=1e-4)
    detector = build_detector(read_tensors(PROJECT / "models" / "overlap"))
    chunk = torch.from_numpy(np.pad(samples, (MARGIN, CHUNK - MARGIN - len(samples))))
    trained = detector(detector.mel(chunk[None])).softmax(dim=1)[0].T.numpy()
    edge = round(MARGIN / RATE / FRAME_S)
    np.testing.assert_allclose(fast, trained[edge : edge + len(fast)], atol=1e-3)
