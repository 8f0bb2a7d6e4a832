"""The fit of the overlap detector: classes of frames, a training that is stopped and goes on, precision and recall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ser_engine.models.overlap_detector import OverlapDetector
from ser_engine.models.overlap_onnx import BANDS, FRAME_S, SEVERAL, STRIDE
from ser_engine.speakers.diarization import Turn
from tools import fit_overlap
from tools.fit_overlap import CHUNK_FRAMES, Example, check, count_speakers, train


@pytest.fixture
def examples() -> list[Example]:
    """Return examples in which the level of some bands is the number of speakers."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(4):
        classes = np.repeat(rng.integers(0, 3, 12), CHUNK_FRAMES // 12).astype(np.uint8)[:CHUNK_FRAMES]
        mel = rng.standard_normal((BANDS, 2 * len(classes))).astype(np.float16)
        mel[:20] += 4 * np.repeat(classes, 2).astype(np.float16)
        made.append((mel, classes))
    return made


def test_speakers_of_a_frame_are_counted_up_to_two() -> None:
    turns = [Turn(0.2, 1.0, 0), Turn(0.6, 1.4, 1), Turn(0.8, 0.9, 2)]
    counts = count_speakers(turns, round(2 / FRAME_S))
    assert [int(counts[round(second / FRAME_S)]) for second in (0.1, 0.4, 0.7, 0.85, 1.2, 1.9)] == [0, 1, 2, 2, 1, 0]


def test_a_stopped_training_goes_on(examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_overlap, "BATCH", 4)
    monkeypatch.setattr(fit_overlap, "EPOCHS", 6)
    monkeypatch.setattr(fit_overlap, "RATE", 1e-2)

    def fitted(name: str, stop_after: int | None = None) -> OverlapDetector:
        torch.manual_seed(0)
        detector = OverlapDetector()
        with monkeypatch.context() as patched:
            if stop_after:
                saves = iter(range(1, stop_after))
                patched.setattr(fit_overlap.np, "mean", lambda values: next(saves) and float(values[0]))
                with pytest.raises(StopIteration):
                    train(detector, examples, tmp_path / name)
        torch.manual_seed(1)
        again = OverlapDetector() if stop_after else detector
        train(again, examples, tmp_path / name)
        return again.eval()

    whole = fitted("whole.pt")
    stopped = fitted("stopped.pt", 3)
    for one, other in zip(whole.parameters(), stopped.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_precision_and_recall_are_of_overlapped_frames(examples: list[Example]) -> None:
    detector = OverlapDetector().eval()
    long = [(np.tile(mel, 2), np.tile(classes, 2)) for mel, classes in examples]
    frames = (len(long[0][1]) * STRIDE - 1) // CHUNK_FRAMES * CHUNK_FRAMES // STRIDE
    share = np.mean([classes[:frames] == SEVERAL for _, classes in long])
    for bias, expected in ((100.0, (share, 1.0)), (-100.0, (0.0, 0.0))):
        torch.nn.init.zeros_(detector.last.weight)
        detector.last.bias.data = torch.tensor([0.0, 0.0, bias])
        assert check(detector, long)[0.5] == pytest.approx(expected)
