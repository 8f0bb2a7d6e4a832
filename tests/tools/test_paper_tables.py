"""The tables of docs/papers.md: every figure has a row, and every row a state."""

from __future__ import annotations

import pytest

from ser_engine.evaluation.published import read_published
from tools.paper_tables import PAPERS, RESULTS, paper

STATES = (
    "*measured*",
    "*runs with its weights*",
    "*needs a corpus we lack*: ",
    "*differs*: ",
    "runs, not measured yet: ",
)


@pytest.mark.parametrize("key", PAPERS)
def test_every_figure_has_a_row_and_every_row_a_state(key: str) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in paper(key).splitlines()[2:]]
    figures = [figure for figure in read_published(RESULTS).values() if figure.paper == key]
    assert len(rows) > len(figures) > 0
    for place, what, config, there, here, unseen, state in rows:
        assert place and what and there and unseen and state.startswith(STATES), (place, what)
        assert (config == "–") == state.startswith("*differs*")
        assert here == "–" or "*measured*" in state
    assert [row[0].removeprefix("table ") for row in rows[: len(figures)]] == [figure.table for figure in figures]


def test_a_figure_on_one_corpus_is_the_system_s_on_that_corpus() -> None:
    row = next(line for line in paper("sharma").splitlines() if line.startswith("| table 9"))
    assert "hubert-bert.toml" in row and "78.5 / 79.3" in row


def test_a_paper_with_recalls_alone_has_recalls() -> None:
    row = next(line for line in paper("tiwari").splitlines() if "k-nearest" in line)
    assert "angry 93.0, happy 55.0, sad 77.0" in row and row.count("angry") == 3
