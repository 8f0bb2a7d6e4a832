"""Calibration: confidence that is as often right as it says, and thresholds that keep their word."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.evaluation.calibration import (
    coverage_curve,
    expected_calibration_error,
    fit_temperature,
    measure,
    reliability,
    threshold,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_taken_out_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    calibrated = rng.standard_normal((4000, 3)) * 2
    calibrated -= np.logaddexp.reduce(calibrated, axis=1, keepdims=True)
    true = (rng.random((4000, 1)) > np.exp(calibrated).cumsum(axis=1)).sum(axis=1)
    wrong = (calibrated * temperature).astype(np.float32)
    assert fit_temperature(wrong, true) == pytest.approx(temperature, rel=0.1)


def certain(confidence: float, right: float, count: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and two probabilities each, of such confidence and so often right."""
    true = np.zeros(count, int)
    guess = (np.arange(count) >= round(right * count)).astype(int)
    probabilities = np.full((count, 2), 1 - confidence, np.float32)
    probabilities[np.arange(count), guess] = confidence
    return true, probabilities


@pytest.mark.parametrize(("confidence", "right"), [(0.9, 0.9), (0.9, 0.6), (0.6, 0.8), (1.0, 1.0), (1.0, 0.0)])
def test_calibration_is_how_far_confidence_is_off(confidence: float, right: float) -> None:
    assert expected_calibration_error(*certain(confidence, right)) == pytest.approx(abs(confidence - right), abs=1e-5)


def test_too_sure_here_does_not_make_up_for_not_sure_enough_there() -> None:
    (true, sure), (_, unsure) = certain(0.95, 0.75), certain(0.6, 0.8)
    both = expected_calibration_error(np.concatenate([true, true]), np.concatenate([sure, unsure]))
    assert both == pytest.approx(0.2, abs=1e-5)


def test_reliability_tells_each_bin_and_all_clips() -> None:
    (true, sure), (_, unsure) = certain(0.95, 0.75), certain(0.6, 0.8, 500)
    bins = reliability(np.concatenate([true, true[:500]]), np.concatenate([sure, unsure]))
    assert bins == [
        {"confidence": 0.6, "accuracy": 0.8, "clips": 500},
        {"confidence": 0.95, "accuracy": 0.75, "clips": 1000},
    ]


def graded(count: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that rise from 0.5 to 1 while every answer under 0.75 is wrong."""
    confidence = np.linspace(0.5, 1.0, count + 1)[1:].astype(np.float32)
    return (confidence < 0.75).astype(int), np.stack([confidence, 1 - confidence], axis=1)


def test_the_surest_answers_come_first_on_the_curve() -> None:
    curve = coverage_curve(*graded())
    assert [point["coverage"] for point in curve][:2] == [0.05, 0.1] and curve[-1]["coverage"] == 1.0
    assert [point["accuracy"] for point in curve[:10]] == [1.0] * 10
    assert curve[-1]["accuracy"] == pytest.approx(0.5, abs=0.01)
    assert curve[14]["accuracy"] == pytest.approx(2 / 3, abs=0.01)  # of three quarters, a half is wrong


@pytest.mark.parametrize("coverage", [0.4, 0.8, 1.0])
def test_a_threshold_answers_as_many_as_it_says(coverage: float) -> None:
    true, probabilities = graded()
    found = threshold(true, probabilities, coverage)
    assert found["coverage"] == pytest.approx(coverage, abs=0.002)
    assert (probabilities.max(axis=1) >= found["below"]).mean() == pytest.approx(coverage, abs=0.002)
    assert found["accuracy"] == pytest.approx(min(1.0, 0.5 / coverage), abs=0.01)
    assert found["without"] == pytest.approx(0.5, abs=0.01)


def test_what_is_measured_is_ready_for_json() -> None:
    found = measure(*graded())
    assert set(found) == {"ECE", "mean", "reliability", "coverage", "threshold"}
    assert found["mean"] == pytest.approx(graded()[1].max(axis=1).mean(), abs=1e-4)
    assert found["threshold"] == threshold(*graded())
    assert found["ECE"] == pytest.approx(100 * expected_calibration_error(*graded()), abs=0.01)
