"""False alarms on ordinary talk: what counts as one, and the threshold under which they are few."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.cli.main import main
from ser_engine.errors import CorpusError
from ser_engine.evaluation.evaluate_ordinary import evaluate_ordinary
from ser_engine.evaluation.ordinary import measure_ordinary, quiet_threshold
from ser_engine.evaluation.record import read_record
from tests.speech import SENTENCES, encode, silence, speech

LABELS = ("neutral", "calm", "sad")
WINDOWS = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.05, 0.05, 0.9]], np.float32)


def test_sure_answers_other_than_neutral_and_calm_are_alarms() -> None:
    figures = measure_ordinary(WINDOWS, LABELS, 0.7)
    assert figures["windows"] == 4 and figures["alarms"] == 25.0 and figures["quiet"] == 75.0
    assert figures["alarms_per_minute"] == 5.0  # one in four windows of three seconds
    assert figures["strongest"] == {"neutral": 25.0, "calm": 25.0, "sad": 50.0}
    assert measure_ordinary(WINDOWS, LABELS, 0.0)["alarms"] == 50.0


def test_the_threshold_leaves_the_share_of_alarms_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    many = rng.dirichlet([1, 1, 1], 2000).astype(np.float32)
    for share in (0.01, 0.05, 0.2):
        threshold = quiet_threshold(many, LABELS, share)
        assert measure_ordinary(many, LABELS, threshold)["alarms"] <= 100 * share + 0.1
        assert measure_ordinary(many, LABELS, threshold - 0.01)["alarms"] > 100 * share
    assert quiet_threshold(WINDOWS[:2], LABELS) == 0.0


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk")
    (folder / "short.wav").write_bytes(encode(speech()))
    (folder / "long.wav").write_bytes(encode(speech(" ".join(SENTENCES))))
    (folder / "silent.wav").write_bytes(encode(silence(2.0)))
    return folder


def test_recordings_are_measured_by_the_windows_of_their_timelines(talk: Path, tmp_path: Path) -> None:
    settings = replace(Settings(), results=tmp_path, data=tmp_path)
    record = evaluate_ordinary("voice-and-words", [str(talk)], settings)
    figures = record.details[talk.name]
    assert figures["recordings"] == 3 and figures["windows"] > 3
    assert figures["alarms"] + figures["quiet"] == pytest.approx(100)
    assert read_record(tmp_path, record.id).details == record.details
    for wrong, reason in (("nowhere", "neither a corpus"), (str(talk / "silent.wav"), "No speech")):
        with pytest.raises(CorpusError, match=reason):
            evaluate_ordinary("voice-and-words", [wrong], settings)


def test_a_corpus_of_acted_speech_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "emodb").mkdir()
    (tmp_path / "emodb" / "03a01Nc.wav").write_bytes(encode(speech()))
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    assert main(["evaluate", "voice-and-words", "--ordinary", "emodb"]) == 2
    assert "emodb is no corpus of ordinary talk" in capsys.readouterr().err
    (tmp_path / "librispeech").mkdir()
    (tmp_path / "librispeech" / "103-1240-0000.wav").write_bytes(encode(speech()))
    assert main(["evaluate", "voice-and-words", "--corpora", "librispeech"]) == 2
    assert "--ordinary counts its false alarms" in capsys.readouterr().err
