"""The search for thresholds: its error rate is that of pyannote.metrics, and examples are cached as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.speakers import annotate
from ser_engine.speakers.clustering import THRESHOLDS
from ser_engine.speakers.diarization import Embeddings, Turn, cut_parts
from ser_engine.types import Span
from tools.tune_speakers import SINGLE_RIGHT, Example, Figures, _read, _write, count_errors, score


@pytest.mark.parametrize(
    "found",
    [
        [Turn(0, 4, 1), Turn(5, 9, 0)],
        [Turn(0, 9, 0)],
        [Turn(0.5, 6, 0), Turn(3, 10, 1), Turn(9, 11, 2)],
    ],
)
def test_errors_are_those_of_pyannote(found: list[Turn]) -> None:
    reference = [Turn(0, 4, 0), Turn(3.5, 9, 1)]
    errors, total = count_errors(reference, found)
    assert errors / total == pytest.approx(DiarizationErrorRate()(annotate(reference), annotate(found)), abs=0.01)


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    spans = (Span(0.0, 1.5), Span(2.0, 4.0))
    embeddings = Embeddings(spans, (1, 1), spans, np.eye(2, 8, dtype=np.float32), (Span(1.0, 1.25),))
    turns = (Turn(0.0, 1.5, 0), Turn(2.0, 4.0, 1))
    _write(tmp_path / "a.npz", embeddings, turns)
    example = _read(tmp_path / "a.npz", "quiet")
    np.testing.assert_array_equal(example.embeddings.vectors, embeddings.vectors)
    for name in ("segments", "counts", "parts", "overlaps"):
        assert getattr(example.embeddings, name) == getattr(embeddings, name)
    assert (example.kind, example.turns) == ("quiet", turns)
    _write(tmp_path / "b.npz", embeddings, ())
    assert _read(tmp_path / "b.npz", "single").turns == ()


def test_too_many_voices_cost_more_than_errors() -> None:
    assert Figures(0.1, 0.5, SINGLE_RIGHT).loss < Figures(0.05, 0.4, SINGLE_RIGHT - 0.02).loss
    assert Figures(0.1, 0.5, 1.0).loss == Figures(0.1, 0.5, SINGLE_RIGHT).loss


def test_one_voice_is_counted() -> None:
    def embeddings(vectors: NDArray[np.float32]) -> Embeddings:
        parts = [cut_parts(span) for span in spans]
        repeated = np.repeat(vectors, [len(own) for own in parts], axis=0)
        return Embeddings(spans, tuple(map(len, parts)), tuple(part for own in parts for part in own), repeated)

    spans = (Span(0.0, 3.0), Span(4.0, 7.0))
    one = np.ones((2, 8), np.float32) / np.sqrt(8)
    two = np.eye(2, 8, dtype=np.float32)
    examples = [
        *(Example("single", embeddings(vectors), ()) for vectors in (one, two)),
        *(Example(kind, embeddings(two), (Turn(0, 3, 0), Turn(4, 7, 1))) for kind in ("quiet", "meeting")),
    ]
    figures = score(examples, THRESHOLDS)
    assert (figures.quiet, figures.meeting, figures.single) == (0, 0, 0.5)
