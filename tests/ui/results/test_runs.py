"""The results page: what it reads, what it makes of files that are broken, and what it says of runs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tomllib
from pathlib import Path

import pytest

from ser_engine.settings import PROJECT
from tests.ui.results.run_files import LABELS, Write, entry, random_split
from ui.results import charts, comparison, corpora, corpus_charts, run_files
from ui.results.run_files import Unreadable

REAL = PROJECT / "results"
WITH_AUDIO = {"ravdess", "cremad", "tess", "emodb"}


def test_runs_on_new_voices_come_first_and_the_best_of_them_on_top(folder: Path, write: Write) -> None:
    write("random", random_split(90.0))
    write("good", entry(metrics={"UA": 60.0}))
    write("poor", entry(metrics={"UA": 30.0}))
    assert [run.id for run in run_files.read(folder).runs] == ["good", "poor", "random"]


def test_a_run_says_what_its_file_says(folder: Path, write: Write) -> None:
    write("a-run", entry(published="sharma/table-6/KNeighborsClassifier", note="Why it is here."))
    (run,) = run_files.read(folder).runs
    assert run.metrics == {"UA": 40.0, "WA": 42.0, "UA_plus_WA": 82.0, "macro_f1": 39.0}
    assert run.interval == (35.0, 45.0) and run.confusion[2] == (0, 10, 0)
    assert (run.seconds, run.size_mb, run.note) == (12.5, 1.5, "Why it is here.")
    assert not run.problems and not run.leaky


def test_a_changed_file_is_read_anew(folder: Path, write: Write) -> None:
    path = write("a-run", entry())
    assert run_files.read(folder).runs[0].metrics["UA"] == 40.0
    (path / "run.json").write_text(json.dumps(entry(metrics={"UA": 55.25})))
    assert run_files.read(folder).runs[0].metrics["UA"] == 55.25


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "not JSON"),
        ('{"model": "knn",', "not JSON"),
        ("[1, 2]", "one JSON object"),
        ('{"model": "knn"}', "no unweighted accuracy"),
        ('{"model": "knn", "metrics": {"UA": "much"}}', "no unweighted accuracy"),
        ('{"model": "knn", "metrics": {"UA": NaN}}', "no unweighted accuracy"),
        ('{"model": "knn", "metrics": [50]}', "no unweighted accuracy"),
    ],
)
def test_a_broken_run_is_a_sentence_and_the_others_stay(
    folder: Path, write: Write, content: str, sentence: str
) -> None:
    write("broken", content)
    write("sound", entry())
    found = run_files.read(folder)
    assert [run.id for run in found.runs] == ["sound"]
    (problem,) = found.problems
    assert "broken" in problem and sentence in problem and problem.endswith(".")


def test_bytes_that_are_no_text_and_a_folder_without_a_run_are_sentences(folder: Path, write: Write) -> None:
    (write("binary", "") / "run.json").write_bytes(b"\xff\xfe\x00")
    (folder / "at-work").mkdir()
    (folder / ".hidden").mkdir()
    problems = run_files.read(folder).problems
    assert len(problems) == 2 and any("at-work holds no run.json" in problem for problem in problems)


def test_parts_of_the_wrong_shape_are_told_and_the_rest_is_kept(folder: Path, write: Write) -> None:
    write("crooked", entry(confusion=[[1, 2], [3]], by_speaker=[1], per_class={"happy": 3}, by_gender=None))
    (run,) = run_files.read(folder).runs
    assert run.metrics["UA"] == 40.0 and run.by_corpus
    assert run.confusion == () and not run.by_speaker and not run.per_class
    assert len(run.problems) == 3


def test_what_measures_words_is_no_run_and_no_problem(folder: Path, write: Write) -> None:
    write("words", {"id": "words", "wer_int8": 4.0})
    found = run_files.read(folder)
    assert found.others == ("words",) and not found.runs and not found.problems


def test_no_folder_is_a_sentence_that_names_the_setting(tmp_path: Path) -> None:
    (problem,) = run_files.read(tmp_path / "nowhere").problems
    assert "SER_RESULTS" in problem


def test_a_published_figure_that_is_not_there_is_told(folder: Path, write: Write) -> None:
    write("a-run", entry(published="paper-9/table-1/Oracle"))
    shutil.copy(REAL / "published.toml", folder)
    assert any("paper-9/table-1/Oracle" in problem for problem in run_files.read(folder).problems)


@pytest.mark.parametrize("content", ["[[figure]", "figure = 3", '[[figure]]\nsystem = "no id"'])
def test_broken_published_figures_are_one_sentence(folder: Path, write: Write, content: str) -> None:
    write("a-run", entry())
    (folder / "published.toml").write_text(content)
    found = run_files.read(folder)
    assert len(found.runs) == 1 and len(found.problems) == 1 and "published.toml" in found.problems[0]


def test_what_sound_alone_and_words_alone_reach_is_told(folder: Path, write: Write) -> None:
    write("both", entry(parts={"speech": {"UA": 61.25, "WA": 60.0}, "text": {"UA": 14.5, "WA": "?"}}))
    write("one", entry())
    told = {run.id: dict(comparison.facts(run)) for run in run_files.read(folder).runs}
    assert told["both"]["UA by sound alone"] == "61.2%" and told["both"]["UA by words alone"] == "14.5%"
    assert not any("alone" in name for name in told["one"])


def learned(folder: Path) -> run_files.History:
    run = run_files.read(folder).runs[0]
    return run_files.read_history(run.id, [run.path.with_name("history.jsonl")])


def test_learning_curves_are_means_with_their_range(folder: Path, write: Write) -> None:
    lines = [{"fold": str(f), "member": 0, "epoch": e, "loss": f + 10.0 / e} for f in (1, 3) for e in (1, 2)]
    write("a-run", entry(), history_jsonl="\n".join(map(json.dumps, lines)))
    history = learned(folder)
    assert history.trainings == 2
    assert history.curves["loss"] == [(1, 12.0, 11.0, 13.0), (2, 7.0, 6.0, 8.0)]


@pytest.mark.parametrize("content", ["{", "[]", '{"loss": 1}', '{"epoch": "one", "loss": 1}'])
def test_a_damaged_history_is_a_sentence(folder: Path, write: Write, content: str) -> None:
    write("a-run", entry(), history_jsonl=content)
    history = learned(folder)
    assert not history.curves and "history.jsonl" in history.problem


@pytest.mark.parametrize(
    "content", ["{}", "[", '{"corpora": 3, "class_means": {}, "augmentations": {}, "unreadable": 0}']
)
def test_a_broken_description_of_the_corpora_is_a_sentence(folder: Path, content: str) -> None:
    (folder / "corpora.json").write_text(content)
    with pytest.raises(Unreadable, match=r"corpora\.json.*\.$"):
        corpora.read(folder)


# Setting side by side


def test_a_pair_differs_in_the_protocol_alone(folder: Path, write: Write) -> None:
    write("new", entry())
    write("random", random_split(58.0))
    write("other-features", random_split(80.0, features="acoustic173"))
    write("other-corpora", random_split(80.0, corpora=["tess"]))
    write("other-emotions", random_split(80.0, labels=LABELS[:2], confusion=None))
    write("other-model", random_split(80.0, model="mlp"))
    (gap,) = comparison.gaps(run_files.read(folder).runs)
    assert (gap.new.id, [run.id for run in gap.heard]) == ("new", ["random"])
    assert gap.points("UA") == pytest.approx(18.0) and gap.points("macro_f1") is None


def test_the_order_of_corpora_and_emotions_is_no_difference(folder: Path, write: Write) -> None:
    write("new", entry())
    write("random", random_split(58.0, corpora=["tess", "ravdess"], labels=LABELS[::-1]))
    assert len(comparison.gaps(run_files.read(folder).runs)) == 1


def test_another_seed_is_no_other_system(folder: Path, write: Write) -> None:
    write("first", entry())
    write("again", entry(metrics={"UA": 41.0, "WA": 42.0}, config={"estimator": "knn", "seed": 1}))
    write("heard", random_split(70.0))
    found = run_files.read(folder)
    best = comparison.best(found.runs)
    assert best is not None and best.id == "first" and "the best of" not in comparison.explanation(found)
    assert [(gap.new.id, gap.points()) for gap in comparison.gaps(found.runs)] == [("first", 30.0)]
    assert {comparison.model_name(run) for run in found.runs} == {
        comparison.MODELS["knn"], f"{comparison.MODELS['knn']}, seed 1",
    }  # fmt: skip


def test_a_leak_is_shown_apart_and_never_counts_as_the_gap(folder: Path, write: Write) -> None:
    write("new", entry())
    write("random", random_split(58.0))
    leak = "augmented-before-split (a trap; shares speakers)"
    write("leak", random_split(95.0) | {"protocol": leak})
    found = run_files.read(folder)
    (gap,) = comparison.gaps(found.runs)
    assert [run.id for run in gap.leaked] == ["leak"] and gap.points() == pytest.approx(18.0)
    assert found.runs[-1].id == "leak" and comparison.voices(found.runs[-1]) == comparison.LEAKED


def test_the_headline_is_never_a_figure_of_voices_that_were_heard(folder: Path, write: Write) -> None:
    write("random", random_split(99.0))
    assert "99" not in comparison.headline(run_files.read(folder))
    write("new", entry())
    write("one-easy-corpus", entry(corpora=["tess"], metrics={"UA": 97.0}))
    found = run_files.read(folder)
    assert comparison.headline(found).startswith("40 in 100")
    assert "59 points more" in comparison.explanation(found)


def test_the_paper_stands_in_the_same_row_with_its_protocol(folder: Path, write: Write) -> None:
    shutil.copy(REAL / "published.toml", folder)
    write("a-run", entry(published="sharma/table-6/KNeighborsClassifier"))
    found = run_files.read(folder)
    row = comparison.row(found.runs[0], found.published)
    assert (row["UA"], row["published_UA"], row["published_WA"]) == (40.0, 56.72, 62.94)
    assert "speaker-independent" in str(row["protocol"]) and "random" in str(row["published_protocol"])
    assert row["published_in"] == "paper 1, table 6"


def test_the_csv_holds_every_run_and_every_column(folder: Path, write: Write) -> None:
    write("new", entry(model='a "quoted", name'))
    write("random", random_split(58.0))
    found = run_files.read(folder)
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv(found.runs, found.published))))
    assert [(row["run"], row["UA"], row["speaker_independent"]) for row in rows] == [
        ("new", "40.0", "yes"),
        ("random", "58.0", "no"),
    ]
    assert rows[0]["model"] == 'a "quoted", name' and rows[0]["published_UA"] == ""


def test_an_audit_is_told_with_how_grave_it_is() -> None:
    finding = {
        "id": "speakers",
        "severity": "leak",
        "count": 2,
        "of": 9,
        "sentence": "Two are shared.",
        "examples": ["a"],
    }
    told, counted = comparison.audit({"clips": 1000, "tested": 9, "speakers": 3, "findings": [finding, "nonsense"]})
    assert told == [("leak", "Two are shared. For example: a.")]
    assert counted[0] == ("Clips looked at", "1,000")


def test_confusions_are_told_the_most_frequent_first(folder: Path, write: Write) -> None:
    write("a-run", entry())
    assert "angry heard as sad 100%, happy" in comparison.confusions(run_files.read(folder).runs[0])


# Published figures


def test_every_published_figure_says_all_that_is_needed_to_compare() -> None:
    figures = tomllib.loads((REAL / "published.toml").read_text())["figure"]
    assert len({figure["id"] for figure in figures}) == len(figures) > 90
    for figure in figures:
        assert {"paper", "table", "system", "protocol", "speaker_independent", "corpora"} <= figure.keys(), figure["id"]
        assert {"WA", "UA", "per_class"} & figure.keys(), figure["id"]
        lacking = set(figure["corpora"]) - WITH_AUDIO
        assert bool(lacking) <= ("No audio of" in figure.get("note", "")), figure["id"]
        for metric in ("UA", "WA", "macro_f1", "weighted_f1"):
            assert 0 < figure.get(metric, 50) <= 100, figure["id"]


@pytest.mark.parametrize(
    ("id", "figures"),
    [
        ("sharma/table-6/GaussianNB", {"WA": 23.89, "UA": 32.74}),
        ("sharma/table-8/HuBERT-BERT", {"WA": 79.89, "UA": 77.68}),
        ("jafarzadeh/table-1/wav2vec2/ravdess", {"WA": 97.67, "UA": 98.02}),
        ("islam/table-32/HuBERT-augmented/RAVDESS", {"WA": 88.54, "weighted_f1": 88.53, "macro_f1": 89.2}),
        ("gomes/table-2/SVM", {"WA": 76.1}),
        ("gomes/table-3/SVM", {"WA": 65.3}),
        ("emobox/Whisper-large-v3/ravdess", {"UA": 75.3}),
    ],
)
def test_published_figures_are_the_papers(id: str, figures: dict[str, float]) -> None:
    published = run_files.read_published(REAL / "published.toml")[id]
    assert figures.items() <= published.metrics.items()


def test_derived_figures_follow_from_the_papers_tables() -> None:
    for figure in run_files.read_published(REAL / "published.toml").values():
        for metric, key in (("UA", "recall"), ("macro_f1", "f1")):
            if metric in figure.derived:
                values = [scores[key] for scores in figure.per_class.values()]
                assert figure.metrics[metric] == pytest.approx(sum(values) / len(values), abs=0.01)


def test_every_configuration_names_a_figure_that_is_there() -> None:
    published = run_files.read_published(REAL / "published.toml")
    named = [tomllib.loads(path.read_text()).get("published") for path in (PROJECT / "configs").glob("*.toml")]
    assert set(filter(None, named)) <= published.keys()


# Charts


def test_the_gap_is_drawn_from_what_was_measured(folder: Path, write: Write) -> None:
    write("new", entry())
    write("random", random_split(58.0))
    write("no-wa", entry(model="mlp", metrics={"UA": 20.0}))
    write("no-wa-random", random_split(30.0, model="mlp"))
    pairs = comparison.gaps(run_files.read(folder).runs)
    drawn = [x for trace in charts.protocol_gap(pairs, {}, "UA").data if "markers" in trace.mode for x in trace.x]
    assert sorted(drawn) == [20.0, 30.0, 40.0, 58.0]
    drawn = [x for trace in charts.protocol_gap(pairs, {}, "WA").data if "markers" in trace.mode for x in trace.x]
    assert sorted(drawn) == [42.0, 58.0]


def test_new_and_heard_voices_differ_in_shape_not_in_colour_alone() -> None:
    shapes = [marker["symbol"] for marker in (charts.DISC, charts.RING, charts.CROSS)]
    assert len({*shapes, charts.DIAMOND["symbol"]}) == 4


def test_confusion_is_drawn_in_per_cent_of_what_was_meant(folder: Path, write: Write) -> None:
    write("a-run", entry(confusion=[[4, 3, 3], [0, 0, 0], [0, 10, 0]]))
    (heatmap,) = charts.confusion(run_files.read(folder).runs[0]).data
    assert heatmap.z.tolist() == [[40, 30, 30], [0, 0, 0], [0, 100, 0]]


def test_stacked_corpora_differ_in_pattern() -> None:
    description = corpora.read(REAL)
    assert description is not None
    bars = [
        trace
        for trace in corpus_charts.distribution(description.corpora, description.emotions).data
        if trace.type == "bar"
    ]
    assert len({bar.marker.pattern.shape for bar in bars}) == len(bars) == len(description.corpora)
