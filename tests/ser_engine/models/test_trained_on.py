"""The list of training clips knows each of them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ser_engine.models import trained_on


def test_each_clip_is_known_by_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = []
    for number in range(50):
        clips.append(tmp_path / f"{number}.wav")
        clips[-1].write_bytes(rng.bytes(40))
    assert trained_on.write(tmp_path, [*clips, clips[0]]) == 50
    known = trained_on.read(tmp_path)
    assert known.shape == (50,) and (np.diff(known) > 0).all()
    assert all(trained_on.holds(known, clip) and trained_on.holds(known, clip.read_bytes()) for clip in clips)
    assert not any(trained_on.holds(known, rng.bytes(40)) for _ in range(200))
    assert not list(tmp_path.glob(".*"))


def test_a_model_without_a_list_knows_none(tmp_path: Path) -> None:
    assert not trained_on.holds(trained_on.read(tmp_path), tmp_path / "is-not-even-read.wav")
