"""Live sessions on conversations on the results page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page, text
from ui.results import charts

GROUPS = ["angry or disgust", "fearful or surprised", "happy", "sad"]
TITLE = "Live sessions on conversations"
TIMELINE = [
    {"start": 2.0 * i, "end": 2.0 * i + 2, "true": true, "state": state, "predicted": predicted, "response_ms": ms}
    for i, (true, state, predicted, ms) in enumerate(
        [("angry", "speech", "angry", 100.0), ("fearful", "silence", None, 12.0), (None, "little", None, None)]
    )
]


def conversation(model: str = "tiny-live", note: str = "Other corpora.", **given: Any) -> dict[str, Any]:
    """Return a record as `ser evaluate --conversation` writes it."""
    measured = {
        "labels": GROUPS,
        "tested": 4,
        "unanswered": 1,
        "metrics": {"accuracy": 50.0, "weighted_f1": 48.5, "macro_f1": 33.3},
        "confusion": [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    }
    details = {
        "recording": "talk.wav",
        "duration_s": 10.0,
        "speakers": ["emodb/03", "emodb/08"],
        "session": {"window_s": 2.0, "hop_s": 0.5, "gate": "speech"},
        "groups": measured,
        "emotions": measured | {"labels": ["happy", "sad"], "confusion": [[2, 0], [1, 0]]},
        "response_ms": {"mean": 90.0, "p50": 100.0, "p95": 140.0, "most": 150.0},
        "timeline": TIMELINE,
    }
    return {
        "version": 1,
        "kind": "conversation",
        "model": model,
        "speaker_independent": True,
        "note": note,
        "published": ["islam/table-48/HuBERT/clip-1"],
        "details": details | given,
    }


def test_a_conversation_is_shown_and_is_no_run(write: Write) -> None:
    write("a-run", entry())
    write("talk", conversation())
    at = page("Conversations")
    assert not at.exception and not at.warning and not at.error
    assert TITLE in [header.value for header in at.header]
    assert list(page().dataframe[0].value["run"]) == ["a-run"]
    assert "Other corpora." in text(at) and "50.0%" in text(at)
    alts = [chart.proto.alt for chart in at.get("plotly_chart")]
    assert any("fearful or surprised as happy 50%" in alt for alt in alts)
    assert any("2 segments: median 100, 95th percentile 140, maximum 150" in alt for alt in alts)
    at.segmented_control(key="conversation-kind").set_value("emotions").run()
    assert not at.exception
    assert any("sad as happy 100%" in chart.proto.alt for chart in at.get("plotly_chart"))


def test_one_of_several_is_chosen(write: Write) -> None:
    write("first", conversation())
    write("second", conversation("other-live", "Another one.", emotions={}))
    at = page("Conversations")
    assert not at.exception and "Another one." not in text(at)
    at.selectbox(key="conversation").select("second").run()
    assert not at.exception and "Another one." in text(at)
    table = next(part.value for part in at.table if "Weighted F1" in part.value)
    assert list(table["System"]) == ["tiny-live", "tiny-live", "other-live"]
    assert list(table["Macro F1"]) == ["33.3"] * 3


@pytest.mark.parametrize("broken", [{"timeline": 3}, {"session": None}, {"duration_s": "long"}])
def test_a_broken_record_is_a_sentence(write: Write, broken: dict[str, Any]) -> None:
    write("talk", conversation(**broken))
    at = page("Conversations")
    assert not at.exception and ["talk" in warning.value for warning in at.warning] == [True]


def test_response_times_are_drawn_at_the_end_of_their_segments() -> None:
    figure = charts.response_times([segment for segment in TIMELINE if segment["response_ms"] is not None])
    (line,) = figure.data
    assert list(line.x) == [2.0, 4.0] and list(line.y) == [100.0, 12.0]
    assert list(line.text) == ["angry", "silence"]
    assert figure.layout.shapes[0].y0 == 56.0  # the median


def test_without_conversations_there_is_no_section(write: Write) -> None:
    write("a-run", entry())
    assert TITLE not in [header.value for header in page("Conversations").header]
