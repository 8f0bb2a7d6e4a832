"""Runs compared: their order, pairs of protocols, tables and charts."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from ser_engine.settings import PROJECT
from tests.ui.results.run_files import LABELS, Write, entry, random_split
from ui.results import charts, comparison, confusion, corpora, corpus_charts
from ui.results.comparison import RunRecord, read_results

REAL = PROJECT / "results"


def only(folder: Path) -> RunRecord:
    """Return the only run of a folder."""
    (run,) = read_results(folder).runs
    return run


def test_runs_on_unseen_speakers_come_first_and_the_best_of_them_on_top(folder: Path, write: Write) -> None:
    write("random", random_split(90.0))
    write("good", entry(metrics={"UA": 60.0}))
    write("poor", entry(metrics={"UA": 30.0}))
    assert [run.id for run in read_results(folder).runs] == ["good", "poor", "random"]


def test_a_broken_record_is_a_sentence_and_the_others_stay(folder: Path, write: Write) -> None:
    write("broken", "{")
    write("sound", entry())
    results = read_results(folder)
    assert [run.id for run in results.runs] == ["sound"]
    (problem,) = results.problems
    assert "broken" in problem and problem.endswith(".")


def test_other_kinds_are_no_runs_and_no_problem(folder: Path, write: Write) -> None:
    write("words", entry(kind="transcription", metrics={}))
    results = read_results(folder)
    assert [run.id for run in results.others["transcription"]] == ["words"]
    assert not results.runs and not results.problems


def test_no_folder_is_a_sentence_that_names_the_setting(tmp_path: Path) -> None:
    (problem,) = read_results(tmp_path / "nowhere").problems
    assert "SER_RESULTS" in problem


def test_a_missing_published_figure_is_a_sentence(folder: Path, write: Write) -> None:
    write("a-run", entry(published=["nobody/table-1/Oracle"]))
    shutil.copy(REAL / "published.toml", folder)
    assert any("nobody/table-1/Oracle" in problem for problem in read_results(folder).problems)


def test_broken_published_figures_are_one_sentence(folder: Path, write: Write) -> None:
    write("a-run", entry())
    (folder / "published.toml").write_text("[[figure]")
    results = read_results(folder)
    assert len(results.runs) == 1 and len(results.problems) == 1 and "published.toml" in results.problems[0]


def test_components_are_among_the_facts(folder: Path, write: Write) -> None:
    write("both", entry(components={"audio": {"UA": 61.25, "WA": 60.0}, "text": {"UA": 14.5, "WA": "?"}}, no_speech=3))
    facts = dict(comparison.facts(only(folder)))
    assert facts["UA by audio alone"] == "61.2%" and facts["UA by text alone"] == "14.5%"
    assert facts["Clips without speech"].startswith("3,")


@pytest.mark.parametrize(
    "content", ["{}", "[", '{"corpora": 3, "class_means": {}, "augmentations": {}, "unreadable": 0}']
)
def test_a_broken_description_of_the_corpora_is_a_sentence(folder: Path, content: str) -> None:
    (folder / "corpora.json").write_text(content)
    with pytest.raises(corpora.InvalidRecord, match=r"corpora\.json.*\.$"):
        corpora.read_description(folder)


def test_a_pair_differs_in_the_protocol_alone(folder: Path, write: Write) -> None:
    write("unseen", entry())
    write("random", random_split(58.0))
    write("other-features", random_split(80.0, features="acoustic173"))
    write("other-corpora", random_split(80.0, corpora=["tess"]))
    write("other-emotions", random_split(80.0, labels=LABELS[:2], confusion=[]))
    write("other-model", random_split(80.0, model="mlp"))
    (gap,) = comparison.gaps(read_results(folder).runs)
    assert (gap.unseen.id, [run.id for run in gap.seen]) == ("unseen", ["random"])
    assert gap.points("UA") == pytest.approx(18.0) and gap.points("macro_f1") is None


def test_the_order_of_corpora_and_emotions_is_no_difference(folder: Path, write: Write) -> None:
    write("unseen", entry())
    write("random", random_split(58.0, corpora=["tess", "ravdess"], labels=LABELS[::-1]))
    assert len(comparison.gaps(read_results(folder).runs)) == 1


def test_another_seed_is_no_other_system(folder: Path, write: Write) -> None:
    write("first", entry())
    write("again", entry(metrics={"UA": 41.0, "WA": 42.0}, seed=1))
    write("random", random_split(70.0))
    results = read_results(folder)
    best = comparison.best(results.runs)
    assert best is not None and best.id == "first" and "the best of" not in comparison.explanation(results)
    assert [(gap.unseen.id, gap.points()) for gap in comparison.gaps(results.runs)] == [("first", 30.0)]
    name = comparison.MODELS["knn"]
    assert {comparison.model_name(run) for run in results.runs} == {name, f"{name}, seed 1"}


def test_a_leaky_protocol_is_shown_apart_and_never_counts_as_the_gap(folder: Path, write: Write) -> None:
    write("unseen", entry())
    write("random", random_split(58.0))
    write("leak", random_split(95.0) | {"protocol": "augmented-before-split"})
    results = read_results(folder)
    (gap,) = comparison.gaps(results.runs)
    assert [run.id for run in gap.leaked] == ["leak"] and gap.points() == pytest.approx(18.0)
    assert results.runs[-1].id == "leak" and comparison.speakers(results.runs[-1]) == comparison.LEAKED


def test_the_headline_is_never_a_figure_of_seen_speakers(folder: Path, write: Write) -> None:
    write("random", random_split(99.0))
    assert "99" not in comparison.headline(read_results(folder))
    write("unseen", entry())
    write("one-easy-corpus", entry(corpora=["tess"], metrics={"UA": 97.0}))
    results = read_results(folder)
    assert comparison.headline(results).startswith("40%")
    assert "59 points more" in comparison.explanation(results)


def test_the_paper_is_in_the_same_row_with_its_protocol(folder: Path, write: Write) -> None:
    shutil.copy(REAL / "published.toml", folder)
    write("a-run", entry(published=["sharma/table-6/KNeighborsClassifier"]))
    results = read_results(folder)
    row = comparison.row(results.runs[0], results.paper(results.runs[0]))
    assert (row["UA"], row["published_UA"], row["published_WA"]) == (40.0, 56.72, 62.94)
    assert "speaker-independent" in str(row["protocol"]) and "random" in str(row["published_protocol"])
    assert row["published_in"] == "Sharma (2023), table 6"


def test_the_csv_holds_every_run_and_every_column(folder: Path, write: Write) -> None:
    write("unseen", entry(model='a "quoted", name'))
    write("random", random_split(58.0))
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv(read_results(folder)))))
    assert [(row["run"], row["UA"], row["speaker_independent"]) for row in rows] == [
        ("unseen", "40.0", "yes"),
        ("random", "58.0", "no"),
    ]
    assert rows[0]["model"] == 'a "quoted", name' and rows[0]["published_UA"] == ""


def test_the_gap_is_drawn_from_the_measured_figures(folder: Path, write: Write) -> None:
    write("unseen", entry())
    write("random", random_split(58.0))
    write("no-wa", entry(model="mlp", metrics={"UA": 20.0}))
    write("no-wa-random", random_split(30.0, model="mlp"))
    pairs = comparison.gaps(read_results(folder).runs)
    for metric, values in {"UA": [20.0, 30.0, 40.0, 58.0], "WA": [42.0, 58.0]}.items():
        traces = charts.protocol_gap(pairs, {}, metric).data
        assert sorted(x for trace in traces if "markers" in trace.mode for x in trace.x) == values


def test_kinds_of_speakers_differ_in_shape_not_in_color_alone() -> None:
    markers = (charts.DISC, charts.RING, charts.CROSS, charts.DIAMOND)
    assert len({marker["symbol"] for marker in markers}) == 4


def test_stacked_corpora_differ_in_pattern() -> None:
    description = corpora.read_description(REAL)
    assert description is not None
    figure = corpus_charts.distribution(description.corpora, description.emotions)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert len({bar.marker.pattern.shape for bar in bars}) == len(bars) == len(description.corpora)


def test_a_confusion_matrix_is_in_percent_of_true_labels() -> None:
    counts, columns = confusion.trimmed([[4, 3, 3, 0], [0, 0, 0, 0], [0, 10, 0, 0]], LABELS)
    (heatmap,) = confusion.chart(counts, LABELS, columns, "clips").data
    assert heatmap.z.tolist() == [[40, 30, 30], [0, 0, 0], [0, 100, 0]]
    assert "angry as sad 100%, happy" in confusion.describe(counts, LABELS, columns)


def test_clips_without_speech_have_a_column_where_there_are_any() -> None:
    counts, columns = confusion.trimmed([[3, 1, 0, 4], [0, 2, 0, 0], [0, 0, 1, 0]], LABELS)
    (heatmap,) = confusion.chart(counts, LABELS, columns, "clips").data
    assert heatmap.z.tolist()[0] == [37.5, 12.5, 0, 50] and len(heatmap.x) == 4 and len(heatmap.y) == 3
    assert "happy as no speech 50%" in confusion.describe(counts, LABELS, columns)


def test_long_names_have_room_in_a_confusion_matrix() -> None:
    names = ["fearful or surprised", "sad"]
    figure = confusion.chart([[1, 1], [0, 2]], names, names, "segments")
    (heatmap,) = figure.data
    assert heatmap.z.tolist() == [[50, 50], [0, 100]] and "segments" in heatmap.hovertemplate
    assert heatmap.y[0] == "Fearful or<br>surprised" and figure.layout.margin.l >= 78
