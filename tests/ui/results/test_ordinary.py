"""False alarms on ordinary talk on the results page."""

from __future__ import annotations

from typing import Any

from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page

TITLE = "Ordinary talk"
TALK = {
    "recordings": 2, "windows": 40, "alarms": 12.5, "quiet": 87.5, "alarms_per_minute": 2.5,
    "strongest": {"neutral": 25.0, "calm": 5.0, "sad": 70.0, "happy": 0.0},
}  # fmt: skip


def ordinary_run(**given: Any) -> dict[str, Any]:
    """Return a record as `ser evaluate --ordinary` writes it."""
    return {
        "version": 1,
        "kind": "ordinary",
        "model": "tiny",
        "protocol": "as-is",
        "labels": ["neutral", "calm", "happy", "sad"],
        "details": {"librispeech": TALK, "meetings": TALK | {"alarms": 30.0}},
    } | given


def test_each_source_has_a_row(write: Write) -> None:
    write("voice", entry())
    write("tiny-ordinary", ordinary_run())
    at = page("Overview")
    assert not at.exception and not at.warning and TITLE in [header.value for header in at.header]
    assert list(page().dataframe[0].value["run"]) == ["voice"]
    table = next(part.value for part in at.table if "False alarms" in part.value)
    assert list(table["Recordings of"]) == ["LibriSpeech", "meetings"]
    assert list(table["Windows"]) == ["40", "40"] and list(table["False alarms"]) == ["12.5", "30.0"]
    assert table["Strongest"][0] == "sad 70%, neutral 25%, calm 5%"


def test_broken_figures_are_dashes(write: Write) -> None:
    write("tiny-ordinary", ordinary_run(details={"librispeech": 3, "meetings": {"alarms": "many"}}))
    at = page("Overview")
    assert not at.exception
    table = next(part.value for part in at.table if "False alarms" in part.value)
    assert set(table["False alarms"]) == {"–"} and set(table["Strongest"]) == {"–"}


def test_without_such_runs_there_is_no_section(write: Write) -> None:
    write("voice", entry())
    assert TITLE not in [header.value for header in page("Overview").header]
