"""The part of the results page for false alarms on ordinary talk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ser_engine.evaluation.record import RunRecord, figures
from ui import wording
from ui.panels import section, table
from ui.results import comparison

COLUMNS = {"windows": "Windows", "alarms": "False alarms", "alarms_per_minute": "A minute", "quiet": "No alarm"}
MOST_NAMED = 3
"""Emotions that are named as the strongest."""


def show(runs: Sequence[RunRecord]) -> None:
    """Show the false alarms of each model on each source; nothing where there are none."""
    rows = [(run, source, figures(run.details[source])) for run in runs for source in run.details]
    if not rows:
        return
    section(
        "Ordinary talk",
        "Speakers whom no model was trained on, and who were not asked to express an emotion. A false alarm is a "
        "window of three seconds whose answer is sure, and neither neutral nor calm; in percent of the windows. Not "
        "every alarm is false: readers of novels act now and then.",
    )
    table(
        {
            "Model": [comparison.model_name(run) for run, _, _ in rows],
            "Recordings of": [wording.CORPORA.get(source, source) for _, source, _ in rows],
            **{title: [number(row, key) for *_, row in rows] for key, title in COLUMNS.items()},
            "Strongest": [strongest(run.details[source]) for run, source, _ in rows],
        }
    )


def number(row: Mapping[str, float], key: str) -> str | float | None:
    """Return a figure for the table; the number of windows is whole."""
    return f"{row[key]:.0f}" if key == "windows" and key in row else row.get(key)


def strongest(measured: object) -> str | None:
    """Return the labels that are the strongest of most windows: "sad 40%, neutral 25%"."""
    shares = figures(measured.get("strongest")) if isinstance(measured, dict) else {}
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])[:MOST_NAMED]
    return ", ".join(f"{label} {share:.0f}%" for label, share in ranked) or None
