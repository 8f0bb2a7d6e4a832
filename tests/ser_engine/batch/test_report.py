"""The report: what it counts, that it needs no network, and that no recording can write into it."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ser_engine.batch import report_data
from ser_engine.batch.output import open_output
from ser_engine.batch.report import escape_json, write_report, write_table
from ser_engine.batch.report_data import FAILED, NO_SPEECH, SURE, UNSURE, gather
from ser_engine.caveats import LAW, limits
from ser_engine.cli.main import main
from ser_engine.errors import InvalidSettings
from ser_engine.labels import EMOTIONS
from tests.ser_engine.batch.archive import outcome, write_archive

COUNT = 200
HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror="document.title=\'taken\'">'


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("report") / "out", *(outcome(number) for number in range(COUNT)))


def content_of(page: Path) -> dict[str, Any]:
    """Return the JSON in a page."""
    match = re.search(
        r'<script type="application/json" id="content">(.*?)</script>', page.read_text("utf-8"), re.DOTALL
    )
    assert match
    loaded: dict[str, Any] = json.loads(match[1])
    return loaded


def test_counts_are_those_of_the_dataset(out: Path) -> None:
    gathered = gather(open_output(out))
    table = open_output(out).recordings.to_table().to_pylist()
    counts = gathered["counts"]
    assert gathered["total"] == sum(counts) == COUNT
    assert counts[NO_SPEECH] == sum(row["error_kind"] == "NoSpeech" for row in table) > 0
    assert counts[FAILED] == sum(row["error_kind"] == "InvalidAudio" for row in table) > 0
    assert counts[UNSURE] == sum(row["sure"] is False for row in table) > 0
    assert gathered["audio_s"] == pytest.approx(sum(row["duration_s"] or 0 for row in table))
    assert gathered["speakers"] == ["agent", "customer"] and gathered["languages"] == ["en"]
    assert gathered["columns"][0]["groups"] == ["sales", "support"]
    recordings = gathered["recordings"]
    assert {len(values) for values in recordings.values()} == {COUNT}
    place = next(place for place, row in enumerate(table) if row["sure"])
    assert recordings["state"][place] == SURE and EMOTIONS[recordings["label"][place]] == table[place]["label"]
    assert recordings["hour"][place] == table[place]["modified"].hour


def test_the_course_and_the_examples(out: Path) -> None:
    gathered = gather(open_output(out))
    segments = gathered["segments"]
    assert len(segments["tenth"]) == open_output(out).segments.count_rows()
    assert set(segments["tenth"]) == set(range(10))
    angry = EMOTIONS.index("angry")
    early, late = (
        sum(label == angry for tenth, label in zip(segments["tenth"], segments["label"], strict=True) if tenth in own)
        for own in ((0, 1, 2), (7, 8, 9))
    )
    assert late > 2 * early, "anger grows in the course of these calls"
    confidence = gathered["recordings"]["confidence"]
    known = [value for value in confidence if value is not None]
    assert confidence[gathered["certain"][0]["recording"]] == max(known)
    assert confidence[gathered["uncertain"][0]["recording"]] == min(known)
    assert all(len(each["sentences"]) == 3 for each in gathered["certain"])


def test_a_large_job_is_drawn_from_a_sample_and_counted_in_full(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_data, "MOST", 50)
    gathered = gather(open_output(out))
    assert (gathered["total"], gathered["sampled"], len(gathered["recordings"]["state"])) == (COUNT, 50, 50)
    assert sum(gathered["counts"]) == COUNT
    assert set(gathered["segments"]["recording"]) <= set(range(50))


def test_times_of_a_manifest_replace_those_of_files(tmp_path: Path) -> None:
    made = [outcome(number) for number in range(3)]
    for each, moment in zip(made, ("2026-05-01T23:10+02:00", "never", None), strict=True):
        assert each.row is not None
        each.row["extra"] = {"time": moment} if moment else {}
    gathered = gather(open_output(write_archive(tmp_path / "out", *made, columns=("time",))))
    assert gathered["timed"]
    assert gathered["recordings"]["hour"] == [23, None, None]
    assert gathered["recordings"]["day"] == ["2026-05-01", None, None]


def test_the_page_carries_limits_law_and_everything_it_needs(out: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(out, page)
    text = page.read_text("utf-8")
    assert all(sentence.replace("'", "&#x27;") in text for sentence in (*LAW, *limits(None)[1:]))
    assert "Accuracy on unseen speakers is" in text
    outside = text.replace(text[text.index("<script>") :], "")
    assert not re.search(r'(src|href)=|url\(|@import|https?://(?!.*id="content")', outside)
    assert "default-src 'none'" in text and "Plotly" in text


def test_nothing_of_a_recording_becomes_markup(tmp_path: Path) -> None:
    hostile = outcome(0, file=f"/calls/{HOSTILE}.wav", sentence=HOSTILE, warnings=[HOSTILE], language=HOSTILE)
    assert hostile.row is not None
    hostile.row["speakers"][0]["name"] = HOSTILE
    hostile.row["extra"]["team"] = HOSTILE
    damaged = outcome(30, file="/calls/b.wav", error=HOSTILE)
    page = tmp_path / "report.html"
    write_report(write_archive(tmp_path / "out", hostile, damaged), page)
    text = page.read_text("utf-8")
    assert (
        HOSTILE not in text
        and 'title="taken"'
        not in text.replace('\\"', '"').replace("\\u003c", "").split("<script>")[0].split("content")[0]
    )
    assert content_of(page)["errors"]["rows"][0]["error"] == HOSTILE
    assert "<" not in escape_json(HOSTILE) and json.loads(escape_json(HOSTILE)) == HOSTILE


def test_the_table_has_a_row_for_each_recording(out: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_table(out, target)
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT and {row["team"] for row in rows} == {"sales", "support"}
    known = [row for row in rows if row["label"]]
    assert all(float(row[f"probability_{row['label']}"]) == float(row["confidence"]) for row in known)
    assert rows[16]["error"] == "No speech was found." and not rows[16]["label"]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    made = replace(outcome(0), row={**(outcome(0).row or {}), "transcript": "=HYPERLINK(1)", "extra": {"team": "@x"}})
    target = tmp_path / "table.csv"
    write_table(write_archive(tmp_path / "out", made), target)
    (row,) = csv.DictReader(target.read_text("utf-8-sig").splitlines())
    assert (row["transcript"], row["team"]) == ("'=HYPERLINK(1)", "'@x")


def test_the_command(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out), "-o", str(tmp_path / "a.html"), "--csv", str(tmp_path / "a.csv")]) == 0
    assert (tmp_path / "a.html").stat().st_size > 1e6 and (tmp_path / "a.csv").exists()
    for arguments, sentence in (
        ([str(out)], "Name a page to write"),
        ([str(tmp_path), "-o", str(tmp_path / "b.html")], "is not the output of ser batch"),
    ):
        assert main(["report", *arguments]) == 2
        assert sentence in capsys.readouterr().err
    with pytest.raises(InvalidSettings, match="cannot be written"):
        write_report(out, tmp_path / "a.csv" / "c.html")
