"""A live session measured on a labeled conversation (Islam, table 48)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.cli.main import main
from ser_engine.data.conversation import Turn, write_conversation
from ser_engine.errors import CorpusError, InvalidAudio, InvalidSettings, WeightsUnavailable
from ser_engine.evaluation import live as measuring
from ser_engine.evaluation.live import Plan, evaluate_conversation, segments
from ser_engine.evaluation.record import RunRecord, read_record
from ser_engine.live.session import Update
from ser_engine.models.store import read_config, write_config
from ser_engine.types import Scores
from tests.ser_engine.tiny_listener import LABELS, tiny_analyzer
from tests.speech import RATE, silence, speech

PIECE_S = 4.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and sixteen seconds: someone speaks in four emotions, with silence after each."""
    home = tmp_path_factory.mktemp("talk")
    tiny_analyzer(home)
    one = np.concatenate([speech(), silence(PIECE_S)])[: round(PIECE_S * RATE)]
    moods = ("angry", "happy", "neutral", "boredom")
    turns = [Turn(PIECE_S * i + 0.35, PIECE_S * i + 2.6, mood, f"emodb/{3 + i % 2:02}") for i, mood in enumerate(moods)]
    write_conversation(home / "talk.wav", np.tile(one, len(moods)), turns, Settings())
    return home


def settings(home: Path) -> Settings:
    return Settings(models_dir=home / "models", cache=home / "cache")


def plan(home: Path, **given: Any) -> Plan:
    return replace(Plan("tiny", home / "talk.wav", home / "talk.csv"), **given)


@pytest.fixture(scope="module")
def record(home: Path) -> RunRecord:
    return evaluate_conversation(plan(home), settings(home), home / "results")


@pytest.fixture
def details(record: RunRecord) -> dict[str, Any]:
    return dict(record.details)


def test_the_record_is_written_as_it_is_returned(home: Path, record: RunRecord, details: dict[str, Any]) -> None:
    assert read_record(home / "results", "conversation/tiny-talk").to_dict() == record.to_dict()
    assert (record.kind, record.model, details["segments"]) == ("conversation", "tiny", 8)
    assert details["speakers"] == ["emodb/03", "emodb/04"] and details["session"]["window_s"] == 2.0


def test_a_segment_has_the_emotion_of_most_of_its_time(details: dict[str, Any]) -> None:
    truths = [row["true"] for row in details["timeline"]]
    assert truths == ["angry", "angry", "happy", "happy", "neutral", "neutral", "boredom", "boredom"]
    assert [row["end"] for row in details["timeline"]] == [2, 4, 6, 8, 10, 12, 14, 16]


def test_neutral_is_left_out_of_the_groups_and_unknown_emotions_of_both(details: dict[str, Any]) -> None:
    groups, emotions = details["groups"], details["emotions"]
    assert groups["labels"] == ["angry or disgust", "fearful or surprised", "happy", "sad"]
    assert (groups["tested"], groups["left_out"]) == (4, {"boredom": 2, "neutral": 2})
    assert set(emotions["labels"]) == set(LABELS) and (emotions["tested"], emotions["left_out"]) == (6, {"boredom": 2})


def test_the_figures_follow_from_the_segments(details: dict[str, Any]) -> None:
    assert details["emotions"]["interval"][0] <= details["emotions"]["metrics"]["accuracy"]
    assert details["emotions"]["interval"][1] >= details["emotions"]["metrics"]["accuracy"]
    for kind, key, homes in (
        ("groups", "group", {"angry": "angry or disgust", "happy": "happy"}),
        ("emotions", "predicted", {label: label for label in LABELS}),
    ):
        rows = [(homes[row["true"]], row[key]) for row in details["timeline"] if row["true"] in homes]
        figures = details[kind]
        right = sum(true == predicted for true, predicted in rows)
        assert figures["metrics"]["accuracy"] == pytest.approx(100 * right / len(rows), abs=0.01)
        assert figures["unanswered"] == sum(predicted is None for _, predicted in rows)
        counts = np.array(figures["confusion"])
        assert counts.sum() == len(rows) - figures["unanswered"] and counts.trace() == right
        for label, scores in figures["per_class"].items():
            assert scores["support"] == sum(true == label for true, _ in rows)


def test_response_times_are_given_for_each_segment_and_overall(details: dict[str, Any]) -> None:
    times = [row["response_ms"] for row in details["timeline"]]
    assert all(time > 0 for time in times)
    overall = details["response_ms"]
    assert 0 < overall["p50"] <= overall["p95"] <= overall["most"] and overall["most"] >= max(times)


def scored(end: float, top: str | None) -> Update:
    scores = Scores(("happy", "sad"), np.array([top == "happy", top == "sad"], np.float32)) if top else None
    return Update(max(0, end - 2), end, "speech" if top else "silence", scores, 1.0, -20.0)


def test_the_update_at_a_segments_end_counts() -> None:
    timeline = [scored(1.5, "sad"), scored(2.0, "happy"), scored(2.5, "sad"), scored(4.0, None)]
    found = segments([Turn(0, 2, "happy"), Turn(3.7, 4, "sad"), Turn(4, 6, "sad")], timeline, 7.9)
    assert [one.true for one in found] == ["happy", None, "sad"]
    assert [one.update.end if one.update else None for one in found] == [2.0, 4.0, None]


def test_a_missing_answer_is_an_error_and_counted() -> None:
    turns = [Turn(0, 2, "happy"), Turn(2, 4, "happy"), Turn(4, 6, "sad")]
    timeline = [scored(2.0, "happy"), scored(4.0, None), scored(6.0, "happy")]
    found = measuring._measure(segments(turns, timeline, 6.0), ("happy", "sad"), groups=False)
    assert found["unanswered"] == 1 and found["confusion"] == [[1, 0], [1, 0]]
    assert found["metrics"] == {"accuracy": 33.33, "weighted_f1": 33.33, "macro_f1": 25.0}
    assert found["metrics_of_answered"]["accuracy"] == 50.0


@pytest.mark.parametrize(
    ("config", "unseen", "new", "words"),
    [
        ({}, False, False, "not known"),
        ({}, True, True, "the word of whoever"),
        ({"corpora": ["ravdess"]}, False, True, "other corpora"),
        ({"corpora": ["ravdess", "EMO-DB"]}, False, False, "emodb was part"),
        ({"corpora": ["emodb"], "unseen_speakers": ["emodb/03", "emodb/04"]}, False, True, "other speakers"),
        ({"corpora": ["emodb"], "unseen_speakers": ["emodb/03"]}, False, False, "emodb was part"),
        ({"corpora": ["my-clips.csv"]}, False, False, "not known"),
    ],
)
def test_provenance_of_the_speakers(home: Path, config: dict[str, Any], unseen: bool, new: bool, words: str) -> None:
    folder = home / "models" / "tiny"
    before = read_config(folder)
    try:
        write_config(folder, before | config)
        measured = evaluate_conversation(plan(home, unseen=unseen, name="voices"), settings(home), home / "results")
    finally:
        write_config(folder, before)
    assert measured.speaker_independent is new and words in measured.note


def test_invalid_plans_are_refused(home: Path, tmp_path: Path) -> None:
    folder = home / "models" / "tiny"
    before = read_config(folder)
    write_config(folder, before | {"corpora": ["emodb"]})
    with pytest.raises(InvalidSettings, match="not unseen"):
        evaluate_conversation(plan(home, unseen=True), settings(home), tmp_path)
    write_config(folder, before)
    with pytest.raises(InvalidSettings, match="divide"):
        plan(home, hop_s=0.7)
    with pytest.raises(InvalidSettings, match="folder"):
        plan(home, name="../elsewhere")
    with pytest.raises(WeightsUnavailable):
        evaluate_conversation(plan(home, model="nothing"), settings(home), tmp_path)
    with pytest.raises(InvalidAudio):
        evaluate_conversation(plan(home, recording=tmp_path / "nothing.wav"), settings(home), tmp_path)
    (tmp_path / "bored.csv").write_text("start,end,emotion\n0,16,boredom\n")
    with pytest.raises(CorpusError, match="No segment"):
        evaluate_conversation(plan(home, turns=tmp_path / "bored.csv"), settings(home), tmp_path)
    assert not list(tmp_path.rglob("run.json"))


def test_the_verb_prints_the_figures(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SER_MODELS_DIR", str(home / "models"))
    files = [str(home / "talk.wav"), str(home / "talk.csv")]
    assert main(["evaluate", "tiny", "--conversation", *files, "--results", str(tmp_path), "--gate", "rms"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["groups"]["tested"] == 4 and set(shown["groups"]["metrics"]) == {"accuracy", "weighted_f1", "macro_f1"}
    saved = json.loads((tmp_path / shown["id"] / "run.json").read_text())
    assert saved["details"]["session"]["gate"] == "rms"
    assert main(["evaluate", "tiny", "--conversation", str(home / "nothing.wav"), files[1]]) == 2


def test_an_interval_is_wider_where_segments_come_in_long_stretches() -> None:
    right = np.tile([True, False], 30)
    single, long = list(range(60)), [number // 10 for number in range(60)]
    assert measuring.interval_of_accuracy(right, long) == (50.0, 50.0)  # each has as many errors
    right = np.repeat([True, False], 30)
    narrow, wide = (measuring.interval_of_accuracy(right, stretches) for stretches in (single, long))
    assert wide[0] < narrow[0] < 50 < narrow[1] < wide[1]
