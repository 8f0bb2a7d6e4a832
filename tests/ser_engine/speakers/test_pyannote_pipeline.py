"""Turns by pyannote.audio: both types of its answers, overlaps, and a sentence where package or weights are missing.

The package is not installed here. A stand-in for it has the documented interface: `Pipeline.from_pretrained`, `to`, and
a call with waveform and sample rate that returns an `Annotation` of pyannote.core, or an object that holds one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from ser_engine.analyzer import Analyzer
from ser_engine.cli.main import main
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.settings import Settings
from ser_engine.speakers import pyannote_pipeline
from ser_engine.speakers.diarization import Turn
from ser_engine.speakers.pyannote_pipeline import MODEL, find_turns, read_turns
from ser_engine.types import SAMPLE_RATE, Span
from tests.speech import encode, speech

PACKAGE = """
from pathlib import Path
from pyannote.core import Annotation, Segment

class Pipeline:
    @classmethod
    def from_pretrained(cls, checkpoint):
        if not Path(checkpoint, "config.yaml").exists():
            raise OSError(f"{checkpoint} holds no config.yaml.")
        return cls()

    def to(self, device):
        self.device = device
        return self

    def __call__(self, file):
        assert file["waveform"].ndim == 2 and len(file["waveform"]) == 1 and file["sample_rate"] == 16000
        seconds = file["waveform"].shape[1] / 16000
        answer = Annotation()
        answer[Segment(0, seconds / 2 + 1)] = "SPEAKER_01"
        answer[Segment(seconds / 2 - 0.5, seconds)] = "SPEAKER_00"
        return answer
"""
SAMPLES = np.concatenate([speech(voice="man"), speech(voice="woman")])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the stand-in, and return the folder of a pipeline."""
    folder = tmp_path / "packages" / "pyannote" / "audio"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(folder.parent.parent)
    importlib.invalidate_caches()
    pyannote_pipeline._load.cache_clear()
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "config.yaml").touch()
    yield pipeline
    pyannote_pipeline._load.cache_clear()
    sys.modules.pop("pyannote.audio", None)


def settings(pipeline: Path | str) -> Settings:
    return Settings(speakers=f"pyannote:{pipeline}", transcribe=False)


def test_speakers_and_overlaps_are_those_of_the_pipeline(package: Path) -> None:
    analysis = Analyzer(settings(package)).analyze(SAMPLES, SAMPLE_RATE)
    assert [each.name for each in analysis.speakers] == ["Speaker 1", "Speaker 2"]
    half = len(SAMPLES) / SAMPLE_RATE / 2
    (overlap,) = analysis.overlaps
    assert half - 0.5 <= overlap.start < overlap.end == pytest.approx(half + 1)
    for speaker, bounds in zip(analysis.speakers, (Span(0, half - 0.5), Span(half + 1, 2 * half)), strict=True):
        for turn in speaker.answer.speech.segments:
            assert bounds.start - 1e-6 <= turn.start < turn.end <= bounds.end + 1e-6


def test_long_recordings_are_searched_as_a_whole(package: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    long.write_bytes(encode(np.tile(SAMPLES, 4), SAMPLE_RATE))
    seconds = 4 * len(SAMPLES) / SAMPLE_RATE
    own = Settings(speakers=f"pyannote:{package}", transcribe=False, stretch_s=seconds / 4)
    first, second = Analyzer(own).analyze(long).speakers
    assert first.answer.speech.segments[-1].end <= seconds / 2
    assert second.answer.speech.segments[0].start >= seconds / 2 + 1 - 1e-6


def test_versions_3_and_4_answer_alike() -> None:
    annotation = Annotation()
    annotation[Segment(3.0, 5.0)] = "A"
    annotation[Segment(0.5, 3.5)] = "B"
    expected = (Turn(0.5, 3.5, 0), Turn(3.0, 5.0, 1))
    assert read_turns(annotation) == read_turns(SimpleNamespace(speaker_diarization=annotation)) == expected


def test_a_missing_package_or_pipeline_is_named_in_a_sentence(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsUnavailable, match=rf"“{MODEL}” is not on this computer; accept its cond.*hf auth login"):
        find_turns(SAMPLES, Settings(speakers="pyannote"))
    with pytest.raises(WeightsUnavailable, match="There is no pipeline “no/such/name”: it is neither"):
        find_turns(SAMPLES, settings("no/such/name"))
    (package / "config.yaml").unlink()
    with pytest.raises(WeightsUnavailable, match=r"cannot be loaded: .* holds no config.yaml"):
        find_turns(SAMPLES, settings(package))
    with pytest.raises(InvalidSettings, match=r"auto, off, pyannote or the number of speakers, not “pyanote”"):
        Settings(speakers="pyanote")


def test_without_the_package_the_command_line_says_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(encode(SAMPLES, SAMPLE_RATE))
    assert main(["analyze", str(file), "--no-transcript", "--speakers", "pyannote"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "“pip install pyannote.audio” installs it" in line
