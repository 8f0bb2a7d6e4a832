"""Regularized discriminant analysis: scikit-learn's contract, and the two analyses between which it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.utils.estimator_checks import parametrize_with_checks

from ser_engine.models.discriminant import RegularizedDiscriminantAnalysis


@parametrize_with_checks([RegularizedDiscriminantAnalysis()])
def test_it_keeps_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture
def clouds() -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.float64]]:
    """Three overlapping classes of different size and shape, and rows to test."""
    random = np.random.default_rng(0)
    shapes = [random.normal(size=(5, 5)) for _ in range(3)]
    sizes = (150, 60, 90)
    rows = np.concatenate(
        [random.normal(size=(n, 5)) @ shape + 0.7 * i for i, (n, shape) in enumerate(zip(sizes, shapes, strict=True))]
    )
    return rows, np.repeat(["angry", "happy", "sad"], sizes), random.normal(scale=2, size=(500, 5))


@pytest.mark.parametrize(("mixing", "other"), [(1, LinearDiscriminantAnalysis()), (0, QuadraticDiscriminantAnalysis())])
def test_its_ends_are_the_linear_and_the_quadratic_analysis(clouds: Any, mixing: float, other: Any) -> None:
    rows, labels, fresh = clouds
    own = RegularizedDiscriminantAnalysis(mixing=mixing, shrinkage=0).fit(rows, labels)
    other.fit(rows, labels)
    assert (own.predict(fresh) == other.predict(fresh)).all()
    np.testing.assert_allclose(own.predict_proba(fresh), other.predict_proba(fresh), atol=1e-6)


def test_full_shrinkage_of_a_pooled_covariance_leaves_the_nearest_mean(clouds: Any) -> None:
    rows, labels, fresh = clouds
    own = RegularizedDiscriminantAnalysis(mixing=1, shrinkage=1).fit(rows, labels)
    own.priors_ = np.full(3, 1 / 3)
    nearest = np.square(fresh[:, None] - own.means_).sum(axis=2).argmin(axis=1)
    assert (own.predict(fresh) == own.classes_[nearest]).all()


def test_more_features_than_rows_of_a_class_are_no_obstacle() -> None:
    random = np.random.default_rng(1)
    rows, labels = random.normal(size=(12, 40)), np.repeat([0, 1], 6)
    rows[labels == 1] += 1
    fitted = RegularizedDiscriminantAnalysis(mixing=0.5, shrinkage=0.3).fit(rows, labels)
    assert fitted.score(rows, labels) == 1


@pytest.mark.parametrize("parameters", [{"mixing": -0.1}, {"mixing": 2}, {"shrinkage": 1.5}])
def test_parameters_are_shares(clouds: Any, parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be 0 to 1"):
        RegularizedDiscriminantAnalysis(**parameters).fit(*clouds[:2])
