"""The digests of training clips contain each of them, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ser_engine.models import trained_on


def test_each_clip_is_recognized_by_its_checksum(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = []
    for number in range(50):
        clips.append(tmp_path / f"{number}.wav")
        clips[-1].write_bytes(rng.bytes(40))
    assert trained_on.write_digests(tmp_path, [*clips, clips[0]]) == 50
    digests = trained_on.read_digests(tmp_path)
    assert digests.shape == (50,) and (np.diff(digests) > 0).all()
    assert all(trained_on.contains(digests, hashlib.sha256(clip.read_bytes()).hexdigest()) for clip in clips)
    assert not any(trained_on.contains(digests, hashlib.sha256(rng.bytes(40)).hexdigest()) for _ in range(200))
    assert not trained_on.contains(digests, "")
    assert not list(tmp_path.glob(".*"))


def test_a_model_without_digests_contains_none(tmp_path: Path) -> None:
    assert not trained_on.contains(trained_on.read_digests(tmp_path), "0" * 64)
