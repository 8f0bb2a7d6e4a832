"""Live sessions on conversations, as the results page shows them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page, text
from ui.results import charts, conversation_charts, conversations, run_files

GROUPS = ["angry or disgust", "fearful or surprised", "happy", "sad"]


def talk(**given: Any) -> dict[str, Any]:
    """Return a run.json as `evaluate --conversation` writes it."""
    measured = {
        "labels": GROUPS,
        "tested": 4,
        "unanswered": 1,
        "left_out": {"neutral": 1},
        "metrics": {"accuracy": 50.0, "weighted_f1": 48.5, "macro_f1": 33.3},
        "metrics_of_answered": {"accuracy": 66.67, "weighted_f1": 60.0, "macro_f1": 40.0},
        "per_class": {},
        "confusion": [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    }
    rows = [("angry", "speech", "angry", 100.0), ("fearful", "silence", None, 12.0), (None, "little", None, None)]
    return {
        "kind": "conversation",
        "id": "talk",
        "system": "tiny-live",
        "recording": "talk.wav",
        "duration_s": 10.0,
        "speakers": ["emodb/03", "emodb/08"],
        "speaker_independent": True,
        "note": "The model was trained on other corpora.",
        "session": {"window_s": 2.0, "hop_s": 0.5, "gate": "speech"},
        "segments": 5,
        "silent": 1,
        "groups": measured,
        "emotions": measured | {"labels": ["happy", "sad"], "confusion": [[2, 0], [1, 0]]},
        "response_ms": {"mean": 90.0, "p50": 100.0, "p95": 140.0, "most": 150.0},
        "timeline": [
            {"start": 2.0 * i, "end": 2.0 * i + 2, "true": true, "state": state, "heard": heard, "response_ms": ms}
            for i, (true, state, heard, ms) in enumerate(rows)
        ],
        "published": ["islam/table-48/HuBERT/clip-1"],
    } | given


def test_a_conversation_is_shown_and_is_no_run(write: Write) -> None:
    write("a-run", entry())
    write("talk", talk())
    at = page()
    assert not at.exception and not at.warning and not at.error
    assert "Live, on a conversation" in [header.value for header in at.header]
    assert list(at.dataframe[0].value["run"]) == ["a-run"]
    assert "measuring other things" not in text(at)
    shown = text(at)
    assert "The model was trained on other corpora." in shown and "50.0%" in shown
    charts = [chart.proto.alt for chart in at.get("plotly_chart")]
    assert any("angry or disgust 1 of 1, fearful or surprised 1 of 2" in alt for alt in charts)
    assert any("2 segments: median 100, 95% under 140, most 150" in alt for alt in charts)
    at.segmented_control(key="conversation-kind").set_value("emotions").run()
    assert not at.exception
    assert any("happy 2 of 2, sad 0 of 1" in chart.proto.alt for chart in at.get("plotly_chart"))


def test_one_of_several_is_chosen_and_papers_figures_stand_beside(write: Write) -> None:
    write("first", talk())
    write("second", talk(system="other-live", note="Another one.", emotions={}))
    at = page()
    assert not at.exception and "Another one." not in text(at)
    at.selectbox(key="conversation").select("second").run()
    assert not at.exception and "Another one." in text(at)
    table = next(part.value for part in at.table if "Weighted F1" in part.value)
    assert list(table["System"]) == ["tiny-live", "tiny-live", "other-live"]
    assert list(table["Macro F1"]) == ["33.3"] * 3


@pytest.mark.parametrize(
    "broken", [{"groups": None}, {"groups": "many"}, {"timeline": 3}, {"session": None}, {"duration_s": "long"},
               {"emotions": {"labels": ["happy"], "confusion": [[1, 2]], "tested": 1, "unanswered": 0}}],
)  # fmt: skip
def test_what_is_broken_becomes_a_sentence(write: Write, broken: dict[str, Any]) -> None:
    write("talk", talk(**broken) if broken != {"groups": None} else {k: v for k, v in talk().items() if k != "groups"})
    write("good", talk())
    at = page()
    assert not at.exception
    assert ["talk" in warning.value and "is not shown" in warning.value for warning in at.warning] == [True]
    assert "Live, on a conversation" in [header.value for header in at.header]


def test_a_pause_and_too_little_speech_have_words(write: Write) -> None:
    (found,), problems = conversations.read(write("talk", talk()).parent)
    assert problems == []
    assert [(one.true, one.heard) for one in found.segments] == [
        ("angry", "angry"), ("fearful", "silence"), ("", "too little speech"),
    ]  # fmt: skip


def test_response_times_are_drawn_at_the_end_of_their_segments(write: Write) -> None:
    (found,), _ = conversations.read(write("talk", talk()).parent)
    timed = [one for one in found.segments if one.response_ms is not None]
    figure = conversation_charts.response_times(timed)
    (line,) = figure.data
    assert list(line.x) == [2.0, 4.0] and list(line.y) == [100.0, 12.0]
    assert figure.layout.shapes[0].y0 == 56.0  # the median


def test_long_names_of_groups_have_room(write: Write) -> None:
    figure = charts.confusion_of([[1, 1], [0, 2]], ["fearful or surprised", "sad"], "segments")
    (heatmap,) = figure.data
    assert heatmap.z.tolist() == [[50, 50], [0, 100]] and "segments" in heatmap.hovertemplate
    assert heatmap.y[0] == "Fearful or<br>surprised" and figure.layout.margin.l >= 78


def test_without_conversations_there_is_no_section(write: Write) -> None:
    folder = write("a-run", entry()).parent
    assert conversations.read(folder) == ([], []) == conversations.read(folder / "nothing")
    assert "Live, on a conversation" not in [header.value for header in page().header]
    assert run_files.read(folder).others == ()
