"""The results page as a whole, whatever is in the results folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ser_engine.data.degrade import TITLES
from ser_engine.evaluation import calibration
from ser_engine.settings import PROJECT
from tests.ui.results.run_files import Write, entry, random_split
from ui.results import comparison

REAL = PROJECT / "results"


TABS = ("Overview", "Runs", "The papers", "Protocols", "Conversations", "Corpora")


def page(tab: str = "Runs", **query: str) -> AppTest:
    at = AppTest.from_file(str(PROJECT / "pages" / "results.py"), default_timeout=120)
    for key, value in {"tab": tab, **query}.items():
        at.query_params[key] = value
    return at.run()


def text(at: AppTest) -> str:
    parts = [*at.title, *at.header, *at.subheader, *at.warning, *at.error, *at.markdown, *at.get("html")]
    return "\n".join(str(getattr(part, "value", "") or getattr(part.proto, "body", "")) for part in parts)


def test_the_page_shows_the_committed_results() -> None:
    at = page()
    assert not at.exception and not at.error and not at.warning
    results = comparison.read_results(REAL)
    assert at.title[0].value == comparison.headline(results)
    assert list(at.dataframe[0].value["run"]) == [run.id for run in results.runs]
    assert at.selectbox(key="run").options == [run.id for run in results.runs]


def test_a_link_opens_its_run_before_all_else(write: Write) -> None:
    write("best", entry(metrics={"UA": 90.0}))
    write("asked-for", entry(model="lda", note="The one that was asked for."))
    at = page(run="asked-for")
    assert at.selectbox(key="run").value == "asked-for" and "The one that was asked for." in text(at)
    headers = [header.value for header in at.header]
    assert headers.index("One run") < headers.index("All runs")
    assert [header.value for header in page().header].index("One run") > 0


def test_a_link_to_a_run_that_is_gone_says_so(write: Write) -> None:
    write("left", entry())
    at = page(run="gone")
    assert not at.exception and "“gone”" in at.warning[0].value and at.selectbox(key="run").value == "left"


def test_choosing_a_run_puts_it_into_the_address(write: Write) -> None:
    write("first", entry(metrics={"UA": 60.0}))
    write("second", entry(model="mlp"))
    at = page()
    assert "run" not in at.query_params
    at.selectbox(key="run").select("second").run()
    assert at.query_params["run"] == "second" and "MLP" in [part.value for part in at.subheader]


def test_the_other_metric_redraws_the_gap(write: Write) -> None:
    write("new", entry())
    write("random", random_split(58.0))
    at = page("Protocols")
    assert "The effect of the protocol" in [part.value for part in at.header]
    at.segmented_control(key="metric").set_value("WA").run()
    assert not at.exception


def test_every_chart_has_words_and_a_table(write: Write, folder: Path) -> None:
    lines = [json.dumps({"fold": "1", "member": 0, "epoch": e, "loss": 1.0 / e}) for e in (1, 2, 3)]
    measured = calibration.measure(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], np.float32))
    write("new", entry(audit={"clips": 3, "findings": []}, calibration=measured), history_jsonl="\n".join(lines))
    write("random", random_split(58.0))
    shutil.copy(REAL / "corpora.json", folder)
    pages = [page(tab) for tab in TABS if tab != "Overview"]
    assert not any(at.exception for at in pages)
    charts = [chart for at in pages for chart in at.get("plotly_chart")]
    tables = [part for at in pages for part in at.expander if part.label == "As a table"]
    assert len(charts) >= 10 and all(len(chart.proto.alt) > 20 for chart in charts)
    # The augmentations of one clip share one table.
    augmented = sum("mel spectrogram" in chart.proto.alt for chart in charts)
    assert len(tables) == len(charts) - augmented + 1
    assert "Calibration" in [part.value for at in pages for part in at.subheader]


@pytest.mark.parametrize("tab", TABS)
def test_a_link_opens_its_tab_alone(tab: str) -> None:
    at = page(tab)
    assert not at.exception and not at.error and not at.warning
    assert [part.label for part in at.tabs] == list(TABS)
    assert [bool(part.children) for part in at.tabs] == [name == tab for name in TABS]


def test_without_a_link_the_best_model_comes_first(write: Write) -> None:
    write("good", entry(model="lda", metrics={"UA": 60.0, "WA": 61.0}))
    write("poor", entry(metrics={"UA": 20.0, "WA": 21.0}))
    at = AppTest.from_file(str(PROJECT / "pages" / "results.py"), default_timeout=120).run()
    assert [part.value for part in at.subheader][:3] == [
        "Linear discriminant analysis", "Confusion matrix", "By emotion",
    ]  # fmt: skip
    assert not at.dataframe


def test_calibration_is_described_and_broken_points_are_left_out(write: Write) -> None:
    threshold = {"below": 0.5, "coverage": 0.8, "accuracy": 0.9, "without": 0.75}
    bins = [{"confidence": 0.3, "accuracy": 0.25, "clips": 8}, {"confidence": "high"}, 5]
    curve = [{"coverage": 0.5, "accuracy": 0.95}, {"coverage": 1.0, "accuracy": None}]
    write("sure", entry(calibration={"reliability": bins, "coverage": curve, "threshold": threshold}))
    at = page()
    assert not at.exception
    alts = [chart.proto.alt for chart in at.get("plotly_chart")]
    assert "Accuracy by confidence: confidence 30%, accuracy 25%" in alts
    assert "Accuracy by coverage: coverage 50%, accuracy 95%" in alts
    assert "when no probability reaches 50%" in text(at) and "90% instead of 75%" in text(at)


def test_the_cost_of_degraded_audio_is_a_table(write: Write) -> None:
    write("worse", entry(degradations={"telephone": {"UA": 51.26, "WA": 50.0, "lost": 3.44}, "rain": {"UA": "wet"}}))
    at = page()
    assert not at.exception and "Degraded audio" in [part.value for part in at.subheader]
    (shown,) = [table.value for table in at.table if "UA lost, in points" in table.value.columns]
    assert shown.to_numpy().tolist() == [
        [TITLES["telephone"], "51.3", "50.0", "3.4"],
        ["rain", "–", "–", "–"],
    ]


def test_baselines_and_other_corpora_are_shown(write: Write) -> None:
    gained = {"15": {"pooled": {"UA": 45.5, "without": 40.25}, "speechocean": {"alarms": 1.0}}, "30": "none"}
    elsewhere = {"emodb": {"UA_among_shared_labels": 51.5, "clips": 454}, "librispeech": {"alarms": 3.0}, "tess": 3}
    write("heads", entry(details={"baselines": gained}, external=elsewhere))
    at = page()
    assert not at.exception
    assert {"A speaker's baseline", "Other corpora"} <= {part.value for part in at.subheader}
    baselines = next(part.value for part in at.table if "Calm speech" in part.value)
    assert list(baselines["UA"]) == ["45.5"] and list(baselines["UA without it"]) in (["40.2"], ["40.3"])
    corpora = next(part.value for part in at.table if "UA, shared emotions" in part.value)
    assert list(corpora["Corpus"]) == ["EMO-DB"] and list(corpora["ECE"]) == ["–"]
    write("broken", entry(details={"baselines": 3}, external={"emodb": {"UA_among_shared_labels": "many"}}))
    assert not page(run="broken").exception


@pytest.mark.parametrize(
    ("probe", "there"),
    [({"encoder": 99.94, "model": 87.65, "chance": 33.33}, True), ({"encoder": 99.9, "model": "?"}, False), (3, False)],
)
def test_the_corpus_probe_is_shown_where_it_is_whole(write: Write, probe: object, there: bool) -> None:
    write("probed", entry(corpus_probe=probe))
    at = page()
    assert not at.exception and ("Corpus probe" in [part.value for part in at.subheader]) is there
    assert all(figure in text(at) for figure in ("99.9%", "87.7%", "33.3%")) is there


@pytest.mark.parametrize("broken", [None, [], {}, {"reliability": 3, "coverage": {}}, {"threshold": []}])
def test_a_run_without_calibration_is_shown_without(write: Write, broken: object) -> None:
    write("unsure", entry(calibration=broken))
    at = page()
    assert not at.exception and "Calibration" not in [part.value for part in at.subheader]


def test_an_empty_folder_is_said(folder: Path) -> None:
    at = page()
    assert not at.exception and "No results yet" in at.title[0].value
    assert "ser train" in text(at) and not at.dataframe


def test_a_folder_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "nowhere"))
    at = page()
    assert not at.exception and "SER_RESULTS" in at.warning[0].value


def test_a_folder_full_of_broken_files_is_said(folder: Path, write: Write) -> None:
    write("empty", "")
    write("bare", {"version": 1, "model": "knn", "metrics": {"UA": 12.0}})
    write("crooked", entry(confusion="x", per_class=[], audit=7, config=[], labels="happy", by_speaker={"a": {}}))
    (folder / "published.toml").write_text("nonsense")
    (folder / "corpora.json").write_text("{}")
    for name in ("bare", "crooked"):
        at = page(run=name)
        assert not at.exception and not at.error
        warnings = " ".join(warning.value for warning in at.warning)
        assert all(name in warnings for name in ("empty/run.json", "published.toml"))
        assert "no learning curves" in text(at).lower()
    assert "corpora.json" in " ".join(warning.value for warning in page("Corpora").warning)


def test_markup_in_a_file_stays_text(write: Write) -> None:
    write("a-run", entry(model="<script>alert(1)</script>", note="<img src=x onerror=alert(1)>"))
    assert "<img" not in text(page()) and "&lt;img" in text(page())


def test_opening_the_page_loads_no_model() -> None:
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        "page = AppTest.from_file('app.py', default_timeout=120).switch_page('pages/results.py').run();"
        "heavy = {'torch', 'whisper', 'sklearn', 'librosa', 'audiomentations'} & set(sys.modules);"
        "assert page.subheader and not page.exception, page; assert not heavy, heavy;"
        "import threading; assert 'warm-up' not in {thread.name for thread in threading.enumerate()}"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
