"""islam's perceptron: its table of possibilities, early stopping, halving, and a search that finds what works."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ser_engine.papers.embedding_search import SPACE, Examples, Recipe, Trial, fit, search

TINY = {
    "hidden": [(16,), (8, 8)],
    "dropout": [0.0, 0.2],
    "optimizer": ["adam", "adamax"],
    "learning_rate": [1e-2, 1e-3],
}
RECIPE = Recipe((16,), 0.2, "adamax", 1e-2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def clusters(seed: int, count: int = 60, spread: float = 0.5) -> Examples:
    centres = np.random.default_rng(99).normal(size=(3, 12))
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return (centres[labels] + spread * rng.normal(size=(count, 12))).astype(np.float32), labels


def test_the_space_is_table_4() -> None:
    assert math.prod(map(len, SPACE.values())) == 11 * 3 * 2 * 3
    assert (4096, 2048, 1024) in SPACE["hidden"] and SPACE["optimizer"] == ["adam", "adamax"]


@pytest.mark.parametrize("optimizer", ["adam", "adamax"])
def test_it_learns_what_can_be_learned_and_the_seed_gives_the_same_again(optimizer: str) -> None:
    recipe = Recipe((16,), 0.2, optimizer, 1e-2)
    model, trial = fit(recipe, clusters(1), clusters(2), 3, seed=5, epochs=30)
    embeddings, labels = clusters(3)
    assert np.mean(model(torch.from_numpy(embeddings)).argmax(dim=1).numpy() == labels) > 0.9
    again, same = fit(recipe, clusters(1), clusters(2), 3, seed=5, epochs=30)
    assert same == trial
    other, _ = fit(recipe, clusters(1), clusters(2), 3, seed=6, epochs=30)
    one, two, three = (m(torch.from_numpy(embeddings)).detach() for m in (model, again, other))
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_the_seed_leaves_other_randomness_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    fit(RECIPE, clusters(1), clusters(2), 3, epochs=2)
    assert torch.equal(torch.rand(1), expected)


def test_it_ends_twenty_epochs_after_the_best_and_keeps_that() -> None:
    training, (embeddings, labels) = clusters(1), clusters(2)
    wrong = (embeddings, (labels + 1) % 3)  # the better it learns, the greater is this loss
    model, trial = fit(Recipe((16,), 0.0, "adam", 1e-2), training, wrong, 3)
    assert 21 <= trial.epochs <= 23
    kept, short = fit(Recipe((16,), 0.0, "adam", 1e-2), training, wrong, 3, epochs=trial.epochs - 20)
    assert short.loss == trial.loss
    probe = torch.from_numpy(embeddings)
    assert torch.equal(model(probe), kept(probe))


def test_the_search_returns_the_best_of_what_it_tried() -> None:
    told: list[Trial] = []
    model, trials = search(
        clusters(1, spread=2.0), clusters(2, spread=2.0), 3, tries=4, space=TINY, epochs=8, progress=told.append
    )
    assert len(trials) == len(told) == 4 and len({trial.recipe for trial in trials}) == 4
    assert trials[0] == min(told, key=lambda trial: (-trial.accuracy, trial.loss))
    embeddings, labels = clusters(2, spread=2.0)
    right = model(torch.from_numpy(embeddings)).argmax(dim=1).numpy() == labels
    assert right.mean() == pytest.approx(trials[0].accuracy)
    _, again = search(clusters(1, spread=2.0), clusters(2, spread=2.0), 3, tries=4, space=TINY, epochs=8)
    assert again == trials
    assert trials[0].to_dict()["hidden"] == list(trials[0].recipe.hidden)
