"""Every figure on a card comes from the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ser_engine.data.corpora.registry import get_corpus
from ser_engine.data.degrade import TITLES
from ser_engine.evaluation.cards import write_card
from ser_engine.evaluation.record import RunRecord

RECORD = RunRecord(
    id="ours/tiny/speaker-independent",
    model="tiny-model",
    seed=77,
    labels=("neutral", "happy"),
    corpora=("ravdess", "tess"),
    config={"members": 13, "attentive": 8, "augmentation": ["telephone"]},
    corpus_probe={"encoder": 98.89, "model": 87.78, "chance": 33.34},
    no_speech=29,
    tested=1801,
    metrics={"UA": 61.11, "WA": 62.22, "ECE": 3.21},
    interval=(58.88, 64.44),
    by_corpus={
        "ravdess": {"UA": 51.51, "WA": 52.52, "UA_low": 41.41, "UA_high": 59.59, "clips": 1234},
        "tess": {"UA": 71.71, "WA": 72.72, "UA_low": 66.66, "UA_high": 79.79, "clips": 567},
    },
    by_gender={"female": {"UA": 63.63, "WA": 64.64, "clips": 901}, "male": {"UA": 57.57, "WA": 58.58, "clips": 900}},
    per_class={
        "neutral": {"recall": 81.81, "precision": 82.82, "support": 1001},
        "happy": {"recall": 43.21, "precision": 45.45, "support": 800},
    },
    calibration={
        "mean": 0.6868,
        "threshold": {"below": 0.4747, "coverage": 0.7979, "accuracy": 0.8484, "without": 0.6222},
    },
    perceived={"cremad": {"agreement": 40.94, "clips": 7441, "per_label": {"happy": 30.31}}},
    degradations={
        "babble": {"UA": 55.15, "WA": 56.16, "UA_low": 50.51, "UA_high": 59.95, "lost": 5.96, "no_speech": 3},
    },
    seconds=8640.0,
    cores=17,
    external={
        "emodb": {
            "UA": 33.33, "UA_among_shared_labels": 44.44, "UA_among_shared_labels_ci95": [35.35, 55.66], "clips": 454,
            "shared_labels": ["neutral"], "confidence": {"mean": 0.5353, "coverage": 0.6161, "accuracy": 0.7373},
        }
    },
)  # fmt: skip


def card(folder: Path, record: RunRecord = RECORD) -> str:
    write_card(folder, record, record.corpora)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_figures_of_the_run_are_on_it(tmp_path: Path) -> None:
    text = card(tmp_path)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert ["all", "61.1", "58.9 to 64.4", "62.2", "1,801"] in rows
    assert ["RAVDESS", "51.5", "41.4 to 59.6", "52.5", "1,234"] in rows
    assert ["TESS", "71.7", "66.7 to 79.8", "72.7", "567"] in rows
    assert ["neutral", "81.81", "82.82", "–", "1001"] in rows
    assert ["happy", "43.21", "45.45", "30.31", "800"] in rows
    assert ["female speakers", "63.6", "–", "64.6", "901"] in rows
    assert [TITLES["babble"], "55.1", "50.5 to 60.0", "56.2", "6.0"] in rows
    plain = " ".join(text.split())
    for part in (
        "# tiny-model",
        "EMO-DB, which is not in training: UA 33.3 over all labels, 44.4 (35.4 to 55.7) among the 1",
        "(454 clips)",
        "3.21 points",
        "21 small networks",
        "13 use the mean",
        "8 use attentive",
        "The 29 clips in which no speech",
        "98.9 of 100 from the encoder",
        "87.8 from the input",
        "chance is 33.3",
        f"33 of 100 clips are degraded: {TITLES['telephone']}",
        "configs/ours/tiny.toml` (seed 77)",
        "reaches 47%",
        "answers 80 of 100 clips, of which 84.8 in 100 are right, against 62.2",
        "is 54%, against 69%",
        "62 of 100 clips get an answer, 73.7% of them right",
        "took 2.4 h on 17 processor cores",
        "408 Wh",
        "in 40.94 of 100 clips of CREMA-D (7441 clips)",
        "Cao et al. (2014)",
    ):
        assert part in plain, part


def test_the_law_is_named(tmp_path: Path) -> None:
    plain = " ".join(card(tmp_path).split())
    for part in ("2024/1689", "article 5 ", "article 50", "at work or in education", "have to be informed"):
        assert part in plain


def test_it_has_no_figure_that_is_not_the_runs(tmp_path: Path) -> None:
    """Change every number of the record; a number that is still there stands in the text itself."""

    def changed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: changed(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(changed(item) for item in value)
        return value if isinstance(value, str | None) else value * 3 + 1

    other = {item.name: changed(getattr(RECORD, item.name)) for item in fields(RunRecord)}
    before = re.findall(r"\d+\.\d+", card(tmp_path))
    after = re.findall(r"\d+\.\d+", card(tmp_path, RunRecord(**other)))
    assert len(before) == len(after) > 15
    licenses = {"4.0"}
    assert set(before) & set(after) <= licenses | {doi for doi in before if f"doi:{doi}" in get_corpus("tess").citation}


def test_it_names_the_training_corpora(tmp_path: Path) -> None:
    text = card(tmp_path)
    for name in ("ravdess", "tess"):
        assert get_corpus(name).citation in text and get_corpus(name).license in text
    assert get_corpus("cremad").citation not in text
    assert "no commercial use" in text


def test_without_an_external_corpus_none_is_mentioned(tmp_path: Path) -> None:
    assert "not in training" not in card(tmp_path, replace(RECORD, external={}))


def test_it_begins_with_front_matter(tmp_path: Path) -> None:
    _, front, _ = card(tmp_path).split("---\n", 2)
    entries = dict(line.split(": ", 1) for line in front.splitlines())
    assert entries == {
        "license": "cc-by-nc-sa-4.0",
        "language": "en",
        "pipeline_tag": "audio-classification",
    }
