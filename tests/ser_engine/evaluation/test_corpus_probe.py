"""A probe finds out where clips are from as far as what it is shown tells it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from ser_engine.evaluation.corpus_probe import layers_mean, measure, probe
from ser_engine.features.encoder import Encoding
from ser_engine.models.whisper_statistics import Head, HeadConfig
from ser_engine.training.heads import embeddings

WIDTH = 6


def clips(count: int, told: float, seed: int) -> tuple[list[Encoding], np.ndarray]:
    """Return encodings of two corpora whose statistics differ by `told` deviations in one place, and the corpora."""
    rng = np.random.default_rng(seed)
    corpora = rng.integers(0, 2, count)
    statistics = rng.standard_normal((count, 4, 2, WIDTH)).astype(np.float32)
    statistics[:, :, 0, 0] += told * corpora[:, None]
    frames = rng.standard_normal((count, 5, WIDTH)).astype(np.float32)
    return [Encoding(*both) for both in zip(statistics, frames, strict=True)], corpora


def head(blind: bool) -> Head:
    torch.manual_seed(0)
    made = Head(HeadConfig(2, layers=4, width=WIDTH, hidden=16, members=2, attentive=1, projection=8)).eval()
    if blind:
        made.scale[:, 0, 0] = 0
    return made


@pytest.mark.parametrize(
    ("told", "blind", "encoder", "model"), [(9.0, False, 1.0, 1.0), (9.0, True, 1.0, 0.5), (0.0, False, 0.5, 0.5)]
)
def test_it_finds_what_is_told_and_no_more(told: float, blind: bool, encoder: float, model: float) -> None:
    known, corpora = clips(400, told, 1)
    unknown, true = clips(300, told, 2)
    found = probe([layers_mean, partial(embeddings, head(blind))], known, corpora, unknown)
    assert found.shape == (2, 300)
    shares = (found == true).mean(axis=1)
    np.testing.assert_allclose(shares, [encoder, model], atol=0.15)


def test_corpora_count_alike_however_large() -> None:
    true = np.array([0] * 90 + [1] * 10)
    always_first = np.zeros(100, int)
    assert measure(true, np.stack([always_first, true])) == {"encoder": 50.0, "model": 100.0, "chance": 50.0}
