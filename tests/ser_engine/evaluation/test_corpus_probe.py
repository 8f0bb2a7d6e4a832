"""A probe names the corpus of clips as far as their embeddings allow."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.evaluation.corpus_probe import probe_corpora, summarize


def embeddings(count: int, distance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of two corpora that differ by `distance` deviations in one dimension, and the corpora."""
    rng = np.random.default_rng(seed)
    corpora = rng.choice(["ravdess", "tess"], count)
    values = rng.standard_normal((count, 6)).astype(np.float32)
    values[:, 0] += distance * (corpora == "tess")
    return values, corpora


@pytest.mark.parametrize(("distance", "share"), [(9.0, 100.0), (0.0, 50.0)])
def test_it_finds_what_there_is_and_no_more(distance: float, share: float) -> None:
    (train, known), (test, true) = embeddings(400, distance, 1), embeddings(300, distance, 2)
    train[3], test[5] = np.nan, np.nan  # no speech
    right = probe_corpora(train, known, test, true)
    assert right.shape == (300,) and np.isnan(right[5]) and np.isnan(right).sum() == 1
    assert summarize({"model": right}, true)["model"] == pytest.approx(share, abs=12)


def test_corpora_count_alike_whatever_their_size() -> None:
    corpora = np.array(["a"] * 90 + ["b"] * 10)
    always_a = (corpora == "a").astype(np.float32)
    everything = np.ones(100, np.float32)
    expected = {"encoder": 50.0, "model": 100.0, "chance": 50.0}
    assert summarize({"encoder": always_a, "model": everything}, corpora) == expected
    assert summarize({}, corpora) == {}
