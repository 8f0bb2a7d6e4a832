"""The predictions of a run are saved, and its figures follow from them alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ser_engine.cli.main import main
from ser_engine.errors import InvalidRecord, InvalidSettings
from ser_engine.evaluation.evaluate import recompute
from ser_engine.evaluation.predictions import FILE, align_predictions, read_predictions, write_predictions
from ser_engine.evaluation.record import read_record
from ser_engine.settings import PROJECT
from ser_engine.training.config import config_entries, load_config

RESULTS = PROJECT / "results"
SAVED = sorted(file.parent.relative_to(RESULTS).as_posix() for file in RESULTS.rglob(FILE))
RUN = "ours/voice-and-words/speaker-independent"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a results folder with a copy of one run."""
    shutil.copytree(RESULTS / RUN, tmp_path / RUN)
    return tmp_path


def test_the_bundled_models_runs_have_predictions() -> None:
    assert {RUN, "ours/whisper-tuned/speaker-independent", "ours/whisper-statistics/speaker-independent"} <= set(SAVED)


SHIPPED = (RUN, "ours/whisper-tuned/speaker-independent")
MADE = (*SHIPPED, "ours/whisper-heads/speaker-independent", "ours/voice-open/speaker-independent")


@pytest.mark.parametrize("id", MADE)
def test_the_bundled_models_can_be_made_again(id: str) -> None:
    run, protocol = id.rsplit("/", 1)
    today = config_entries(load_config(PROJECT / "configs" / f"{run}.toml", protocol))
    recorded = read_record(RESULTS, id).config
    assert {name: today.get(name) for name in recorded if name != "hardware"} == {
        name: value for name, value in recorded.items() if name != "hardware"
    }


@pytest.mark.parametrize("id", [id if id in SHIPPED else pytest.param(id, marks=pytest.mark.slow) for id in SAVED])
def test_recomputed_figures_are_the_published_ones(id: str) -> None:
    measured, differing = recompute(RESULTS, id)
    assert differing == []
    assert measured.keys() >= {
        "metrics",
        "interval",
        "per_class",
        "confusion",
        "calibration",
        "by_speaker",
        "perceived",
    }


def test_an_altered_figure_is_reported(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["evaluate", RUN, "--results", str(copied)]
    assert main(given) == 0
    shown = json.loads(capsys.readouterr().out)
    file = copied / RUN / "run.json"
    entry = json.loads(file.read_text(encoding="utf-8"))
    assert shown["metrics"] == entry["metrics"]
    entry["metrics"]["UA"] += 5
    file.write_text(json.dumps(entry), encoding="utf-8")
    assert main(given) == 1
    assert "differs: metrics." in capsys.readouterr().err


def test_every_prediction_counts(copied: Path) -> None:
    predictions = read_predictions(copied / RUN)
    row = int(np.flatnonzero(predictions.targets == predictions.labels.index("angry"))[0])
    predictions.main[row] = -predictions.main[row]  # the most probable class is the least probable now
    write_predictions(copied / RUN, predictions)
    assert "confusion" in recompute(copied, RUN)[1]


def test_predictions_are_aligned_to_clips_and_folds(copied: Path) -> None:
    predictions = read_predictions(copied / RUN)
    order = np.random.default_rng(0).permutation(len(predictions.targets))
    clips, names = [predictions.utterances[row] for row in order], predictions.folds[order]
    folds = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
    aligned = align_predictions(copied / RUN, clips, folds)
    np.testing.assert_array_equal(aligned.main, predictions.main[order])
    assert aligned.utterances == clips and np.array_equal(aligned.folds, names)
    with pytest.raises(InvalidSettings, match="has other clips or folds"):
        align_predictions(copied / RUN, clips[1:], {name: rows[rows > 0] - 1 for name, rows in folds.items()})
    with pytest.raises(InvalidSettings, match="has other clips or folds"):
        align_predictions(copied / RUN, clips, {"1": np.arange(len(clips))})


def test_missing_or_damaged_predictions_are_errors(copied: Path) -> None:
    with pytest.raises(InvalidRecord, match=r"absent has no run\.json"):
        recompute(copied, "absent")
    (copied / RUN / FILE).write_bytes(b"PK\3\4 cut")
    with pytest.raises(InvalidSettings, match="holds no predictions"):
        recompute(copied, RUN)
