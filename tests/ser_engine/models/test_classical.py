"""Every classical system: fitted, saved with skops, read again, and refused where the file is not what it should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skops.io

from ser_engine import Settings
from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.models.classical import ESTIMATORS, Classical, fit_estimator, make_estimator, predict_proba
from ser_engine.models.registry import load_model
from ser_engine.models.store import read_config, sha256, write_config
from ser_engine.types import Scores
from tests.speech import RATE, noise, taken_for_speech, tone

LABELS = ("angry", "happy", "sad")


def clusters(seed: int, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return 120 points around three centres, and the names of the centres."""
    rng = np.random.default_rng(seed)
    names = np.array(["angry", "happy", "sad"] * 40)
    centres = np.random.default_rng(99).normal(size=(3, width)) * 3
    points = centres[np.unique(names, return_inverse=True)[1]] + rng.normal(size=(len(names), width))
    return points.astype(np.float32), names


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "majority"])
def test_each_learns_what_can_be_learned_and_scores_as_it_predicts(name: str) -> None:
    pipeline = fit_estimator(make_estimator(name, 0, {}), *clusters(1), np.arange(120))
    points, names = clusters(2)
    predicted = pipeline.predict(points)
    assert np.mean(predicted == names) > 0.9
    scores = predict_proba(pipeline, points, ["calm", *LABELS])
    assert scores.shape == (120, 4) and scores.dtype == np.float32
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-5) and not scores[:, 0].any()
    assert np.mean(np.array(["calm", *LABELS])[scores.argmax(axis=1)] == predicted) > 0.98  # ties are told as they fall


def test_a_search_has_the_copies_of_a_clip_on_one_side() -> None:
    """Labels at random: only a copy of the same clip in the other folds could tell them."""
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(60, 6)).astype(np.float32), 3, axis=0)
    names = np.repeat(rng.choice(LABELS, 60), 3)
    pipeline = fit_estimator(make_estimator("knn-grid-search", 0, {}), points, names, np.repeat(np.arange(60), 3))
    assert pipeline[-1].best_score_ < 0.6


def test_kernel_and_c_are_searched_for() -> None:
    pipeline = fit_estimator(make_estimator("svm-grid-search", 0, {}), *clusters(1), np.arange(120))
    searched = pipeline[-1].cv_results_["params"]
    assert {params["kernel"] for params in searched} == {"poly", "rbf"} and len(searched) == 20


def test_the_majority_is_always_said() -> None:
    points, names = clusters(1)
    names[:3] = "sad"
    assert set(make_estimator("majority", 0, {}).fit(points, names).predict(points)) == {"sad"}


def test_two_labels_are_enough_for_an_svm() -> None:
    points, names = clusters(1)
    two = names != "sad"
    pipeline = make_estimator("svm-rbf", 0, {}).fit(points[two], names[two])
    scores = predict_proba(pipeline, points[two], ["angry", "happy"])
    assert np.mean(np.array(["angry", "happy"])[scores.argmax(axis=1)] == names[two]) > 0.95


@pytest.mark.parametrize("name", ["mlp", "random-forest", "xgboost", "lightgbm", "decision-tree"])
def test_a_seed_gives_the_same_again(name: str) -> None:
    points, names = clusters(1)
    one, other = (make_estimator(name, 7, {}).fit(points, names) for _ in range(2))
    assert np.array_equal(predict_proba(one, points, LABELS), predict_proba(other, points, LABELS))


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(InvalidSettings, match="no classical system “oracle”; there are knn"):
        make_estimator("oracle", 0, {})
    with pytest.raises(InvalidSettings, match="SVC cannot be made of these parameters"):
        make_estimator("svm-rbf", 0, {"wings": 2})


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_what_was_saved_scores_the_same_when_read(name: str, tmp_path: Path) -> None:
    points, names = clusters(1, width=94)
    pipeline = fit_estimator(make_estimator(name, 0, {}), points, names, np.arange(len(names)))
    model = Classical("tried", LABELS, "acoustic94", pipeline, {"run": "one"})
    model.save(tmp_path / "tried")
    again = load_model(tmp_path / "tried", Settings())
    assert isinstance(again, Classical)
    assert (again.id, again.labels, again.card) == ("tried", LABELS, {"run": "one"})
    assert np.array_equal(predict_proba(model.pipeline, points, LABELS), predict_proba(again.pipeline, points, LABELS))


def test_a_recording_is_scored_alone_as_in_a_batch() -> None:
    points, names = clusters(1, width=94)
    model = Classical("tried", LABELS, "acoustic94", make_estimator("naive-bayes", 0, {}).fit(points, names))
    batch = [taken_for_speech(tone(1)), taken_for_speech(noise(2)), taken_for_speech(tone(1, 880.0))]
    scores = [prediction.scores for prediction in model.predict(batch)]
    assert all(isinstance(one, Scores) and one.labels == LABELS for one in scores) and RATE == 16_000
    for one, speech in zip(scores, batch, strict=True):
        assert model.predict([speech])[0].scores.probabilities == pytest.approx(one.probabilities)


def saved(folder: Path) -> Path:
    points, names = clusters(1, width=94)
    Classical("tried", LABELS, "acoustic94", make_estimator("naive-bayes", 0, {}).fit(points, names)).save(folder)
    return folder


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path) / "model.skops"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsUnavailable, match=r"model\.skops"):
        Classical.load(tmp_path, Settings())


class Stranger:
    """Something that no model is made of."""


def test_a_file_with_strange_things_in_it_is_refused_unread(tmp_path: Path) -> None:
    file = saved(tmp_path) / "model.skops"
    file.write_bytes(skops.io.dumps(Stranger()))
    config = read_config(tmp_path)
    write_config(tmp_path, config | {"weights": {"model.skops": sha256(file)}})
    with pytest.raises(WeightsUnavailable, match=r"Stranger, which no model here consists of"):
        Classical.load(tmp_path, Settings())


@pytest.mark.parametrize("change", [{"features": "acoustic7"}, {"labels": ["calm"]}, {"labels": None}])
def test_a_config_that_does_not_fit_is_refused(tmp_path: Path, change: dict) -> None:
    saved(tmp_path)
    write_config(tmp_path, read_config(tmp_path) | change)
    with pytest.raises(WeightsUnavailable, match="does not fit its weights"):
        Classical.load(tmp_path, Settings())
