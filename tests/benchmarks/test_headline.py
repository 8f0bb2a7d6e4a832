"""The main figures are those of the bundled models' runs, and null where no run measured them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import headline
from ser_engine import Settings
from ser_engine.evaluation.record import RunRecord, read_record

VOICE = "ours/whisper-tuned/speaker-independent"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with the bundled models and a results folder with only the run of the emotion model."""
    bundled = Settings()
    read_record(bundled.results, VOICE).write(tmp_path)
    return replace(bundled, results=tmp_path)


def test_figures_are_those_of_the_runs(settings: Settings) -> None:
    run, figures = read_record(settings.results, VOICE), headline.collect(settings)
    assert figures["pooled_UA"] == run.metrics["UA"] and figures["cremad_UA"] == run.by_corpus["cremad"]["UA"]
    assert figures["lost_babble"] == run.degradations["babble"]["lost"]
    assert figures["alarm_windows"] is None and figures["xed_F1"] is None


def test_ordinary_talk_is_a_mean_over_windows(settings: Settings) -> None:
    talk = {
        "librispeech": {"windows": 10, "alarms": 10.0, "quiet": 90.0},
        "speechocean": {"windows": 30, "alarms": 30.0, "quiet": 70.0},
        "meetings": {"windows": 30, "alarms": 90.0, "quiet": 10.0},
    }
    RunRecord(id="evaluated/voice-and-words-ordinary/as-is", kind="ordinary", details=talk).write(settings.results)
    figures = headline.collect(settings)
    assert (figures["alarm_windows"], figures["quiet_windows"]) == (25.0, 75.0)


def test_the_file_keeps_the_ratio_of_times(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headline, "OUT", tmp_path / "headline.json")
    monkeypatch.setattr(headline, "time_against", lambda commit: 1.25)
    headline.main(["--reference", "HEAD"])
    headline.main([])
    assert json.loads(headline.OUT.read_text(encoding="utf-8"))["classify_ratio"] == 1.25


def test_the_bundled_file_is_what_the_command_writes() -> None:
    written = json.loads(headline.OUT.read_text(encoding="utf-8"))
    assert written == headline.collect(Settings()) | {"classify_ratio": written["classify_ratio"]}
