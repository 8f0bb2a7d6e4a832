"""The figures of the papers in results/published.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.published import read_published
from ser_engine.settings import PROJECT
from ser_engine.training.config import read_entries

RESULTS = PROJECT / "results"
WITH_AUDIO = {"ravdess", "cremad", "tess", "emodb"}


@pytest.mark.parametrize("content", ["[[figure]", "figure = 3", '[[figure]]\nsystem = "no id"'])
def test_a_broken_file_is_a_sentence(tmp_path: Path, content: str) -> None:
    assert read_published(tmp_path) == {}
    (tmp_path / "published.toml").write_text(content)
    with pytest.raises(InvalidRecord, match=r"^published\.toml .*\.$"):
        read_published(tmp_path)


def test_every_figure_has_all_that_a_comparison_needs() -> None:
    figures = tomllib.loads((RESULTS / "published.toml").read_text(encoding="utf-8"))["figure"]
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
def test_figures_are_the_papers(id: str, figures: dict[str, float]) -> None:
    assert figures.items() <= read_published(RESULTS)[id].metrics.items()


def test_derived_figures_follow_from_the_papers_tables() -> None:
    for figure in read_published(RESULTS).values():
        for metric, key in (("UA", "recall"), ("macro_f1", "f1")):
            if metric in figure.derived:
                values = [scores[key] for scores in figure.per_class.values()]
                assert figure.metrics[metric] == pytest.approx(sum(values) / len(values), abs=0.01)


def test_every_configuration_repeats_a_figure_of_the_file() -> None:
    paths = (PROJECT / "configs").glob("*/*.toml")
    ids = {read_entries(path).get("published") for path in paths} - {None, ""}
    assert ids and ids <= read_published(RESULTS).keys()


def test_every_figure_of_the_papers_has_a_configuration_or_the_reason_why_not() -> None:
    figures = read_published(RESULTS)
    repeated = {read_entries(path).get("published") for path in (PROJECT / "configs").glob("*/*.toml")} - {""}
    papers = [figure for figure in figures.values() if figure.paper != "EmoBox"]
    assert len(papers) == 90
    for figure in papers:
        assert bool(figure.differs) != bool({figure.id, figure.part_of} & repeated), figure.id
    assert [figure.response_ms for figure in papers if figure.response_ms] == [490.76]
