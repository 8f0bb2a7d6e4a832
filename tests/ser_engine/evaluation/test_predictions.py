"""What the models of a run said is kept, and its figures follow from that alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ser_engine.cli.main import main
from ser_engine.errors import InvalidSettings
from ser_engine.evaluation import predictions
from ser_engine.settings import PROJECT

KEPT = sorted(file.parent for file in (PROJECT / "results").glob(f"*/{predictions.FILE}"))
FIGURES = {"metrics", "per_class", "confusion", "confidence", "by_corpus", "by_speaker", "by_gender", "listeners"}


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT[0], tmp_path / "copied"))


def test_the_bundled_models_runs_kept_what_was_said() -> None:
    assert {"ours-voice_and_words", "ours-whisper_statistics-speaker_independent"} <= {run.name for run in KEPT}


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.name)
def test_figures_computed_again_are_those_that_are_published(run: Path) -> None:
    measured = predictions.recompute(run)
    assert measured.keys() >= FIGURES and predictions.differing(run, measured) == []
    conditions = json.loads((run / "run.json").read_text(encoding="utf-8")).get("conditions", {})
    assert measured.get("conditions", {}).keys() == conditions.keys()


def test_a_figure_that_was_altered_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy(tmp_path)
    assert main(["evaluate", run.name, "--results", str(tmp_path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    file = run / "run.json"
    entry = json.loads(file.read_text(encoding="utf-8"))
    assert shown["metrics"] == entry["metrics"]
    entry["metrics"]["UA"] += 5
    file.write_text(json.dumps(entry), encoding="utf-8")
    assert main(["evaluate", run.name, "--results", str(tmp_path)]) == 1
    assert "differs: metrics." in capsys.readouterr().err


def test_what_was_said_of_one_clip_counts(tmp_path: Path) -> None:
    run = copy(tmp_path)
    with np.load(run / predictions.FILE) as kept:
        arrays = dict(kept)
    said = arrays["log_probabilities"]
    right = int(np.flatnonzero([label == "angry" for label in arrays["label"]])[0])
    said[0, right] = -said[0, right]  # what was likeliest is the least likely now
    np.savez_compressed(run / predictions.FILE, **arrays)
    assert "confusion" in predictions.differing(run, predictions.recompute(run))


def test_a_run_without_them_is_told_so(tmp_path: Path) -> None:
    for spoilt in ("absent", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InvalidSettings, match="figures could be computed again"):
            predictions.recompute(tmp_path / spoilt)
    run = copy(tmp_path)
    (run / predictions.FILE).write_bytes(b"PK\3\4 cut")
    with pytest.raises(InvalidSettings):
        predictions.recompute(run)
