"""Every figure on a card comes from the run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ser_engine.data.corpora.registry import get_corpus
from ser_engine.evaluation.cards import write_card

FIGURES: dict[str, Any] = {
    "id": "ours-tiny",
    "model": "tiny-voice",
    "seed": 77,
    "labels": ["neutral", "happy"],
    "corpora": ["ravdess", "tess"],
    "config": {"members": 13, "attentive": 8, "augmentation": ["telephone"]},
    "corpus_probe": {"encoder": 98.89, "model": 87.78, "chance": 33.34},
    "no_speech_found": 29,
    "metrics": {"UA": 61.11, "WA": 62.22, "UA_ci95": [58.88, 64.44], "ECE": 3.21},
    "by_corpus": {
        "ravdess": {"UA": 51.51, "WA": 52.52, "UA_ci95": [41.41, 59.59], "clips": 1234},
        "tess": {"UA": 71.71, "WA": 72.72, "UA_ci95": [66.66, 79.79], "clips": 567},
    },
    "by_gender": {"female": {"UA": 63.63, "WA": 64.64, "clips": 901}, "male": {"UA": 57.57, "WA": 58.58, "clips": 900}},
    "per_class": {
        "neutral": {"recall": 81.81, "precision": 82.82, "support": 1001},
        "happy": {"recall": 43.21, "precision": 45.45, "support": 800},
    },
    "confidence": {
        "mean": 0.6868, "threshold": {"below": 0.4747, "coverage": 0.7979, "accuracy": 0.8484, "without": 0.6222},
    },
    "listeners": {"cremad": {"agreement": 40.94, "clips": 7441, "per_label": {"happy": 30.31}}},
    "conditions": {
        "babble": {
            "UA": 55.15, "WA": 56.16, "UA_ci95": [50.51, 59.95], "lost": 5.96, "no_speech_found": 3, "by_corpus": {},
        }
    },
    "seconds": 8640.0,
    "cores": 17,
    "external": {
        "emodb": {
            "UA": 33.33, "UA_among_shared_labels": 44.44, "UA_among_shared_labels_ci95": [35.35, 55.66], "clips": 454,
            "shared_labels": ["neutral"], "confidence": {"mean": 0.5353, "coverage": 0.6161, "accuracy": 0.7373},
        }
    },
}  # fmt: skip


def card(folder: Path, **changes: Any) -> str:
    write_card(folder, FIGURES | changes)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_figures_of_the_run_are_on_it(tmp_path: Path) -> None:
    text = card(tmp_path)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert ["all together", "61.1", "58.9 to 64.4", "62.2", "1801"] in rows
    assert ["RAVDESS", "51.5", "41.4 to 59.6", "52.5", "1234"] in rows
    assert ["TESS", "71.7", "66.7 to 79.8", "72.7", "567"] in rows
    assert ["neutral", "81.81", "82.82", "–", "1001"] in rows
    assert ["happy", "43.21", "45.45", "30.31", "800"] in rows
    assert ["female speakers", "63.6", "–", "64.6", "901"] in rows
    assert ["among six talkers, 10 dB below", "55.1", "50.5 to 60.0", "56.2", "6.0"] in rows
    plain = " ".join(text.split())
    assert "EMO-DB, from which nothing was learned: UA 33.3 over all labels, 44.4 (35.4 to 55.7) among the 1" in plain
    assert "(454 clips)" in plain and "3.21 points" in plain
    assert (
        "# tiny-voice" in text
        and "(21 members" in plain
        and "13 members see" in plain
        and "8 attend" in plain
        and "(29) count as wrong" in plain
    )
    assert "98.9 from the encoder" in plain and "87.8 from what the head" in plain and "guessing names 33.3" in plain
    assert "33 of 100 clips are heard by telephone" in plain
    assert "configs/ours-tiny.toml` (seed 77)" in plain
    assert "reaches 47%" in plain and "answers 80 of 100 and is right in 84.8 of 100 answers, against 62.2" in plain
    assert "is 54% on average, against 69%" in plain and "gives 62 of 100 answers, of which 73.7 are right" in plain
    assert "took 2.4 h of 17 processor cores" in plain and "408 Wh" in plain
    assert "CREMA-D for what was meant in 40.94 of 100 (7441 clips; Cao et al. (2014))" in plain


def test_what_the_law_forbids_is_named(tmp_path: Path) -> None:
    plain = " ".join(card(tmp_path).split())
    for said in ("2024/1689", "article 5 ", "article 50", "at work or in education", "has to be told"):
        assert said in plain


def test_no_figure_is_on_it_that_the_run_does_not_have(tmp_path: Path) -> None:
    """Change every number of the run; what then is still there stands in the text itself."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: changed(item) for name, item in value.items()}
        if isinstance(value, list):
            return [changed(item) for item in value]
        return value if isinstance(value, str) else value * 3 + 1

    before = re.findall(r"\d+\.\d+", card(tmp_path))
    after = re.findall(r"\d+\.\d+", card(tmp_path, **changed(FIGURES)))
    assert len(before) == len(after) > 15
    licences = {"4.0"}
    assert set(before) & set(after) <= licences | {doi for doi in before if f"doi:{doi}" in get_corpus("tess").citation}


def test_it_names_what_it_was_trained_on(tmp_path: Path) -> None:
    text = card(tmp_path)
    for name in ("ravdess", "tess"):
        assert get_corpus(name).citation in text and get_corpus(name).license in text
    assert get_corpus("cremad").citation not in text
    assert "non-commercial" in text or "no commercial use" in text


@pytest.mark.parametrize("changes", [{"external": {}}, {}])
def test_without_a_foreign_corpus_nothing_is_said_of_one(changes: dict[str, Any], tmp_path: Path) -> None:
    figures = {key: value for key, value in FIGURES.items() if key != "external"}
    write_card(tmp_path, figures | changes)
    assert "nothing was learned" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_it_begins_with_what_machines_read(tmp_path: Path) -> None:
    _, front, _ = card(tmp_path).split("---\n", 2)
    entries = dict(line.split(": ", 1) for line in front.splitlines())
    assert entries == {
        "license": "cc-by-nc-sa-4.0",
        "language": "en",
        "pipeline_tag": "audio-classification",
    }
