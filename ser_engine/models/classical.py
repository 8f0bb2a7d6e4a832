"""The papers' classical systems: acoustic features, standard scaling, and an estimator with scikit-learn's interface.

Sharma (III.B, table 6) has eight of them on 94 features, Gomes (III.D) an SVM on 173, Tiwari (table 2) k-nearest
neighbors, discriminant analyses and an SVM. All are one `Model`, saved with skops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_engine.errors import InvalidSettings, WeightsUnavailable
from ser_engine.features import ACOUSTIC
from ser_engine.io import atomic_write
from ser_engine.models.base import Model
from ser_engine.models.discriminant import RegularizedDiscriminantAnalysis
from ser_engine.models.store import read_config, sha256, verify, write_config
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Prediction, Scores, Transcript

ARCHITECTURE = "classical"
FILE = "model.skops"

# Types that skops asks about though they are harmless: parts of scikit-learn's estimators and of the boosters.
TRUSTED_MODULES = tuple(
    f"sklearn.{name}." for name in ("metrics", "model_selection", "neighbors", "neural_network", "tree")
)
TRUSTED = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        f"{__name__}.WithNames",
        f"{RegularizedDiscriminantAnalysis.__module__}.RegularizedDiscriminantAnalysis",
    }
)

Parameters = Mapping[str, Any]


def _sklearn(module: str, name: str, **defaults: Any) -> Callable[[int, Parameters], BaseEstimator]:
    """Return a function that makes an estimator from (seed, parameters); the seed goes to those that take one."""

    def make(seed: int, parameters: Parameters) -> BaseEstimator:
        try:
            kind = getattr(import_module(module), name)
        except OSError as error:  # LightGBM's library asks the system for OpenMP's
            raise InvalidSettings(
                f"{name} cannot be loaded ({error}); Debian's package libgomp1 may be missing."
            ) from None
        seeded = {"random_state": seed} if "random_state" in kind().get_params() else {}
        try:
            return kind(**{**defaults, **seeded, **parameters})
        except TypeError as error:
            raise InvalidSettings(f"{name} cannot be made of these parameters: {error}.") from None

    return make


def _search(estimator: BaseEstimator, grid: Parameters, seed: int, scoring: str = "balanced_accuracy") -> BaseEstimator:
    """Return a search by three-fold cross-validation whose `fit` takes groups: copies of one clip stay together."""
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    folds = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
    return GridSearchCV(estimator, dict(grid), scoring=scoring, cv=folds, n_jobs=-1)


def _neighbors_grid(seed: int, parameters: Parameters) -> BaseEstimator:
    """Return k-nearest neighbors with parameters tuned by cross-validation (Sharma, III.B)."""
    from sklearn.neighbors import KNeighborsClassifier

    grid = {
        "n_neighbors": [1, 3, 5, 7, 9, 15],
        "weights": ["uniform", "distance"],
        "metric": ["euclidean", "manhattan"],
        **parameters,
    }
    return _search(KNeighborsClassifier(), grid, seed)


def _svm_grid(seed: int, parameters: Parameters) -> BaseEstimator:
    """Return an SVM with kernel and C searched for as by Gomes (III.D), but in the training part alone."""
    from sklearn.svm import SVC

    grid = {"kernel": ["poly", "rbf"], "C": [4, 7, 8, 9, 15, 25, 30, 50, 100, 200], **parameters}
    return _search(SVC(cache_size=1000), grid, seed, "accuracy")


def _discriminant_grid(seed: int, parameters: Parameters) -> BaseEstimator:
    """Return Friedman's analysis with both parameters tuned by cross-validation, since Tiwari leaves them open."""
    grid = {"mixing": [0, 0.1, 0.25, 0.5, 0.75, 1], "shrinkage": [0, 0.01, 0.03, 0.1, 0.3, 1], **parameters}
    return _search(RegularizedDiscriminantAnalysis(), grid, seed)


class WithNames(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Wraps an estimator that takes class numbers only: encodes the labels before and decodes them after."""

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.str_]) -> WithNames:
        """Fit on [n, k] features and n labels."""
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.estimator.fit(features, codes)
        return self

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.str_]:
        """Return the label of each row."""
        return np.asarray(self.classes_[self.estimator.predict_proba(features).argmax(axis=1)])

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities [n, labels]."""
        return np.asarray(self.estimator.predict_proba(features))


def _numbered(make: Callable[[int, Parameters], BaseEstimator]) -> Callable[[int, Parameters], BaseEstimator]:
    return lambda seed, parameters: WithNames(make(seed, parameters))


ESTIMATORS: dict[str, Callable[[int, Parameters], BaseEstimator]] = {
    "knn": _sklearn("sklearn.neighbors", "KNeighborsClassifier", n_jobs=-1),
    "knn-grid-search": _neighbors_grid,
    "mlp": _sklearn("sklearn.neural_network", "MLPClassifier"),
    "xgboost": _numbered(_sklearn("xgboost", "XGBClassifier", tree_method="hist")),
    "lightgbm": _sklearn("lightgbm", "LGBMClassifier", verbose=-1, deterministic=True, force_row_wise=True),
    "logistic-regression": _sklearn("sklearn.linear_model", "LogisticRegression"),
    "random-forest": _sklearn("sklearn.ensemble", "RandomForestClassifier", n_jobs=-1),
    "naive-bayes": _sklearn("sklearn.naive_bayes", "GaussianNB"),
    "decision-tree": _sklearn("sklearn.tree", "DecisionTreeClassifier"),
    "svm-rbf": _sklearn("sklearn.svm", "SVC", kernel="rbf", cache_size=1000),
    "svm-grid-search": _svm_grid,
    "lda": _sklearn("sklearn.discriminant_analysis", "LinearDiscriminantAnalysis"),
    "rda": _discriminant_grid,
    "majority": _sklearn("sklearn.dummy", "DummyClassifier", strategy="most_frequent"),
}
"""Estimators by the names in configurations, each made from a seed and the configuration's parameters."""


def make_estimator(name: str, seed: int, parameters: Parameters) -> Pipeline:
    """Return an unfitted pipeline of standard scaling and the estimator of that name.

    Raise InvalidSettings if there is no such estimator, or if it does not take these parameters.
    """
    if name not in ESTIMATORS:
        raise InvalidSettings(f"There is no classical system “{name}”; there are {', '.join(ESTIMATORS)}.")
    return make_pipeline(StandardScaler(), ESTIMATORS[name](seed, parameters))


def fit_estimator(
    pipeline: Pipeline, features: NDArray[np.float32], labels: NDArray[np.str_], groups: NDArray[np.int_]
) -> Pipeline:
    """Fit a pipeline; a search for parameters has rows of one group, int [n], on one side of its own folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    name, estimator = pipeline.steps[-1]
    grouped = isinstance(getattr(estimator, "cv", None), StratifiedGroupKFold)
    return pipeline.fit(features, labels, **({f"{name}__groups": groups} if grouped else {}))


def predict_proba(pipeline: Pipeline, features: NDArray[np.float32], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return probabilities float32 [n, labels], whose largest entry in a row is the pipeline's prediction.

    An SVM has no probabilities of its own: its one-against-rest decisions go through a softmax, uncalibrated.
    """
    if hasattr(pipeline, "predict_proba"):
        known = np.asarray(pipeline.predict_proba(features), np.float64)
    else:
        decisions = np.asarray(pipeline.decision_function(features), np.float64)
        known = softmax(np.column_stack([-decisions, decisions]) if decisions.ndim == 1 else decisions, axis=1)
    scores = np.zeros((len(features), len(labels)), np.float32)
    scores[:, [list(labels).index(str(label)) for label in pipeline.classes_]] = known
    return scores


class Classical(Model):
    """A fitted pipeline as one `Model`; safe to call from several threads.

    Parameters
    ----------
    id, labels, card : see `Model`
    features : "acoustic94" or "acoustic173"
    pipeline : fitted on such features, with labels as its classes
    """

    def __init__(
        self, id: str, labels: tuple[str, ...], features: str, pipeline: Pipeline, card: dict[str, Any] | None = None
    ) -> None:
        super().__init__(id, labels, card)
        self.features, self.pipeline = features, pipeline

    def predict(
        self, batch: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None] | None = None
    ) -> list[Prediction]:
        """Return the prediction for each recording."""
        extract = ACOUSTIC[self.features]
        features = np.stack([extract(speech.samples, SAMPLE_RATE) for speech in batch])
        return [Prediction(Scores(self.labels, row)) for row in predict_proba(self.pipeline, features, self.labels)]

    def save(self, folder: Path) -> None:
        """Write config.json and model.skops into `folder`."""
        import skops.io

        with atomic_write(folder / FILE) as part:
            part.write_bytes(skops.io.dumps(self.pipeline))
        config = {
            "id": self.id,
            "architecture": ARCHITECTURE,
            "features": self.features,
            "labels": list(self.labels),
            **self.card,
            "weights": {FILE: sha256(folder / FILE)},
        }
        write_config(folder, config)

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> Classical:
        """Read what `save` wrote, without running any code from the file.

        Raise WeightsUnavailable as `Model.load` does, or if the file holds types of which no classical system consists.
        """
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        verify(folder)
        config = read_config(folder)
        try:
            asked = skops.io.get_untrusted_types(file=folder / FILE)
            if unknown := [kind for kind in asked if kind not in TRUSTED and not kind.startswith(TRUSTED_MODULES)]:
                raise WeightsUnavailable(f"{folder / FILE} holds {unknown[0]}, which no model here consists of.")
            pipeline = skops.io.load(folder / FILE, trusted=asked)
            id, labels, features = config["id"], tuple(config["labels"]), config["features"]
            if features not in ACOUSTIC or not set(map(str, pipeline.classes_)) <= set(labels):
                raise ValueError
        except (BadZipFile, KeyError, TypeError, ValueError, AttributeError, UntrustedTypesFoundException):
            raise WeightsUnavailable(f"The config.json in {folder} does not fit its weights.") from None
        written = {"id", "architecture", "features", "labels", "weights"}
        card = {key: value for key, value in config.items() if key not in written}
        return cls(id, labels, features, pipeline, card)
