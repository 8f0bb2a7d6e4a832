"""The part of the results page on training in one language and testing in another."""

from __future__ import annotations

from collections.abc import Sequence

from ser_engine.evaluation.cross_corpus import cross_corpus_rows, language, tested_corpora
from ser_engine.evaluation.record import RunRecord
from ui.panels import note, section, table
from ui.results import comparison
from ui.wording import CORPORA


def show(runs: Sequence[RunRecord]) -> None:
    """Show the table of all systems; nothing where no run tests other corpora than those of its training."""
    rows = cross_corpus_rows(runs)
    if not rows:
        return
    section(
        "Across languages",
        f"UA over the {rows[0].classes} emotions that all these corpora have. A model that was trained in one language "
        "is tested on others, and on unseen speakers of its own.",
    )
    cells = {
        f"{CORPORA.get(corpus, corpus)}, {language(corpus)}": [_cell(row.tested.get(corpus, {})) for row in rows]
        for corpus in tested_corpora(rows)
    }
    trained = ["All, merged" if row.languages == "all" else row.languages for row in rows]
    table(
        {"System": [comparison.FEATURES.get(row.features, row.features) for row in rows], "Trained on": trained} | cells
    )
    note(f"Chance is {100 / rows[0].classes:.0f}. Intervals of 95% are by bootstrap over speakers.")


def _cell(figures: object) -> str:
    if not isinstance(figures, dict) or "UA" not in figures:
        return "–"
    return f"{figures['UA']:.1f} ({figures['UA_low']:.0f} – {figures['UA_high']:.0f})"
