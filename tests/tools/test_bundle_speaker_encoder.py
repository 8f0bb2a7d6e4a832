"""The tool refuses what is no wheel, and fits a projection that ignores what varies within speakers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.bundle_speaker_encoder import DIMENSIONS, cosine, fit_projection, main


def test_other_files_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    for path in (wheel, tmp_path / "missing.whl"):
        assert main([str(path)]) == 2
        assert f"{path} is no wheel of Resemblyzer." in capsys.readouterr().err


def test_what_varies_within_speakers_is_projected_away() -> None:
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(40), 12)
    voices = rng.standard_normal((40, 64))[speakers]
    mood = 5 * rng.standard_normal((len(speakers), 1)) * np.eye(64)[:1]
    states = torch.from_numpy((voices + mood).astype(np.float32))
    mean, projection = fit_projection(states, [f"{n:03}" for n in speakers])
    assert mean.shape == (64,) and projection.shape == (64, DIMENSIONS)
    vectors = (states - mean) @ projection
    cosines = cosine(vectors, vectors)
    same = torch.from_numpy(speakers[:, None] == speakers)
    assert cosines[same].min() > cosines[~same].quantile(0.99)
    given = cosine(states, states)
    assert given[same].min() < given[~same].quantile(0.5)
