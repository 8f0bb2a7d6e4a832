"""Regularized discriminant analysis (Friedman, 1989), between the linear and the quadratic one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

SMALLEST = 1e-12
"""Smallest variance in a direction, relative to the largest; collinear features have none in some."""


class RegularizedDiscriminantAnalysis(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gaussian classes whose covariances are regularized twice.

    The scatter of each class is mixed with that of all classes around their own means; the covariance that results is
    then shrunk towards a multiple of the identity with the same trace (Friedman 1989, equations 15 to 18).

    Parameters
    ----------
    mixing : λ, 0 to 1: 0 keeps the covariance of each class, as in quadratic discriminant analysis; 1 gives all
        classes the pooled one, as in linear discriminant analysis
    shrinkage : γ, 0 to 1

    Attributes
    ----------
    classes_ : the labels [k]
    means_ : float64 [k, features]
    priors_ : float64 [k], the shares of the classes
    whitenings_ : float64 [k, features, features]: what turns deviations from a class's mean into independent ones of
        variance 1
    log_determinants_ : float64 [k], of the covariances
    """

    def __init__(self, mixing: float = 0.5, shrinkage: float = 0.1) -> None:
        self.mixing, self.shrinkage = mixing, shrinkage

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> RegularizedDiscriminantAnalysis:
        """Fit on [n, features] and n labels; raise ValueError for parameters outside of 0 to 1, or a single class."""
        for name in ("mixing", "shrinkage"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1, not {getattr(self, name)}.")
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError("The labels have only one class.")
        self.means_ = np.stack([X[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        self.priors_ = counts / len(X)
        deviations = X - self.means_[codes]
        pooled = deviations.T @ deviations
        bases, scales = [], []
        for code, count in enumerate(counts):
            own = deviations[codes == code]
            scatter = (1 - self.mixing) * own.T @ own + self.mixing * pooled
            covariance = scatter / ((1 - self.mixing) * count + self.mixing * len(X))
            variances, basis = np.linalg.eigh(covariance)
            variances = (1 - self.shrinkage) * variances + self.shrinkage * variances.mean()
            bases.append(basis)
            scales.append(np.maximum(variances, SMALLEST * max(variances.max(), np.finfo(float).tiny)))
        self.whitenings_ = np.stack(bases) / np.sqrt(np.stack(scales))[:, None, :]
        self.log_determinants_ = np.log(np.stack(scales)).sum(axis=1)
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the logarithm of each class's density times its prior, up to a constant, [n, k].

        Of two classes, only the difference between the second and the first is returned, [n].
        """
        scores = self._log_densities(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the label of each row."""
        densities = self._log_densities(X)
        return np.asarray(self.classes_[densities.argmax(axis=1)])

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return probabilities [n, k]."""
        return np.asarray(softmax(self._log_densities(X), axis=1))

    def predict_log_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the logarithms of the probabilities, [n, k]."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _log_densities(self, X: NDArray[Any]) -> NDArray[np.float64]:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        distances = [
            np.square((X - mean) @ whitening).sum(axis=1)
            for mean, whitening in zip(self.means_, self.whitenings_, strict=True)
        ]
        return np.asarray(np.log(self.priors_) - 0.5 * (np.stack(distances, axis=1) + self.log_determinants_))
