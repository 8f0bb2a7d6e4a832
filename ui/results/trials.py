"""The part of the results page for trials: one recipe with a part changed, tested on some folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.trials import TRIALS, read_trials
from ui import wording
from ui.panels import note, section, table

Trial = Mapping[str, Any]


def show(folder: Path) -> None:
    """Show the trials of each recipe, as it is and with a part changed, on the same folds; nothing without any."""
    try:
        groups = comparable(read_trials(folder / TRIALS))
    except (InvalidRecord, KeyError, TypeError):
        return
    if not groups:
        return
    section(
        "What each part adds",
        "One recipe as it is, then with one part changed, tested on the unseen speakers of the same folds. One seed: "
        "differences of less than a point are chance.",
    )
    for trials in groups:
        corpora = {name: wording.CORPORA.get(name, name) for name in trials[0]["by_corpus"]}
        table(
            {
                "Recipe": [str(trial.get("note") or trial["changed"]) for trial in trials],
                "UA": [trial["UA"] for trial in trials],
                "WA": [trial["WA"] for trial in trials],
                **{title: [trial["by_corpus"].get(name) for trial in trials] for name, title in corpora.items()},
                "Emotional, of ordinary talk": [trial.get("ordinary") for trial in trials],
            }
        )
        shared = ", ".join(f"{key} = {value}" for key, value in _shared(trials).items())
        note(f"{trials[0]['run']}, folds {', '.join(trials[0]['folds'])}{'; all with ' if shared else ''}{shared}.")


def comparable(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return the trials of each recipe and folds, the recipe as it is first; those without that are left out.

    What all of them change, such as fewer heads to save time, belongs to the recipe.
    """
    groups: dict[tuple[str, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[(trial["run"], *trial["folds"])].append(trial)
    result = []
    for group in groups.values():
        first = [trial for trial in group if trial["changed"] == _shared(group)]
        if first and len(group) > 1:
            result.append([*first, *(trial for trial in group if trial not in first)])
    return result


def _shared(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the entries that all trials change in the same way."""
    return {
        key: value for key, value in trials[0]["changed"].items() if all(t["changed"].get(key) == value for t in trials)
    }
