"""The table of training in one language and testing in another."""

from __future__ import annotations

from pathlib import Path

from ser_engine.data.corpora.registry import CORPORA
from ser_engine.evaluation.cross_corpus import cross_corpus_rows, language, tested_corpora
from ser_engine.evaluation.record import read_records
from tools.markdown import percent, table

RESULTS = Path(__file__).resolve().parent.parent / "results"


def languages() -> str:
    """Return UA of each system by the language of its training, on each corpus."""
    records, _ = read_records(RESULTS)
    rows = cross_corpus_rows(records)
    corpora = tested_corpora(rows)
    header = ["system", "trained on", *(f"{CORPORA[corpus].title} ({language(corpus)})" for corpus in corpora)]
    return table(
        header,
        [
            [
                "SVM" if row.features.startswith("acoustic") else "Whisper, frozen",
                "all, merged" if row.languages == "all" else row.languages,
                *(_cell(row.tested.get(corpus), language(corpus) == row.languages) for corpus in corpora),
            ]
            for row in rows
        ],
    )


def _cell(figures: object, same: bool) -> str:
    """Return UA with its interval, in italics where test and training are of one language."""
    if not isinstance(figures, dict) or "UA" not in figures:
        return "–"
    text = f"{percent(figures['UA'])} ({figures['UA_low']:.0f} to {figures['UA_high']:.0f})"
    return f"*{text}*" if same else text
