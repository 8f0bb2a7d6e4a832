"""Islam's perceptron: the table of combinations, early stopping, and a search that returns the best one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.model_selection import ParameterSampler

from ser_engine.papers.embedding_search import SPACE, Recipe, search, train_recipe
from ser_engine.papers.fit import Examples

TINY = {
    "hidden": [(16,), (8, 8)],
    "dropout": [0.0, 0.2],
    "optimizer": ["adam", "adamax"],
    "learning_rate": [1e-2, 1e-3],
}


pytestmark = pytest.mark.usefixtures("one_thread")


def clusters(seed: int, count: int = 60, spread: float = 0.5) -> Examples:
    centers = np.random.default_rng(99).normal(size=(3, 12))
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return Examples((centers[labels] + spread * rng.normal(size=(count, 12))).astype(np.float32), labels)


def test_the_space_is_table_4() -> None:
    assert math.prod(map(len, SPACE.values())) == 11 * 3 * 2 * 3
    assert (4096, 2048, 1024) in SPACE["hidden"] and SPACE["optimizer"] == ["adam", "adamax"]


@pytest.mark.parametrize("optimizer", ["adam", "adamax"])
def test_it_learns_and_the_same_seed_gives_the_same_weights(optimizer: str) -> None:
    recipe = Recipe((16,), 0.2, optimizer, 1e-2)
    unseen = clusters(3)
    models = [train_recipe(recipe, clusters(1), clusters(2), 3, seed, epochs=30)[0] for seed in (5, 5, 6)]
    one, two, three = (model(torch.from_numpy(unseen.blocks)).detach() for model in models)
    assert np.mean(one.argmax(dim=1).numpy() == unseen.targets) > 0.9
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_the_seed_leaves_other_randomness_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    train_recipe(Recipe((16,), 0.2, "adamax", 1e-2), clusters(1), clusters(2), 3, seed=0, epochs=2)
    assert torch.equal(torch.rand(1), expected)


def test_it_ends_twenty_epochs_after_the_best_and_keeps_its_weights() -> None:
    training, plain = clusters(1), clusters(2)
    wrong = Examples(plain.blocks, (plain.targets + 1) % 3)  # the better it learns, the greater is this loss
    recipe = Recipe((16,), 0.0, "adam", 1e-2)
    model, trial = train_recipe(recipe, training, wrong, 3, seed=0, epochs=5000)
    assert 21 <= trial.epochs <= 23
    best, short = train_recipe(recipe, training, wrong, 3, seed=0, epochs=trial.epochs - 20)
    assert short.loss == trial.loss
    probe = torch.from_numpy(plain.blocks)
    assert torch.equal(model(probe), best(probe))


def test_the_search_returns_the_best_of_its_trials() -> None:
    training, validation = clusters(1, spread=2.0), clusters(2, spread=2.0)
    model, trial = search(training, validation, 3, tries=4, seed=0, epochs=8, space=TINY)
    recipes = [Recipe(**drawn) for drawn in ParameterSampler(TINY, 4, random_state=0)]
    trials = [train_recipe(recipe, training, validation, 3, seed=0, epochs=8)[1] for recipe in recipes]
    assert trial == min(trials, key=lambda each: (-each.accuracy, each.loss)) and len(set(trials)) == 4
    correct = model(torch.from_numpy(validation.blocks)).argmax(dim=1).numpy() == validation.targets
    assert correct.mean() == pytest.approx(trial.accuracy)
