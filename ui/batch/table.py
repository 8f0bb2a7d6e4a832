"""The rows of a batch as the page shows them: read from its output, filtered, and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from ser_engine.batch import open_output
from ser_engine.batch.output import committed

COLUMNS = ["file", "label", "confidence", "sure", "duration_s", "language", "transcript", "error_kind", "error"]
SHOWN = 5000
"""Rows that are shown at once; the others are found by the filters, and are in the downloads."""
ALL, UNSURE, FAILED = "All", "Not sure", "Errors"
KINDS = (ALL, UNSURE, FAILED)


def read_rows(out: Path) -> pd.DataFrame:
    """Return the rows so far, in the order of their analysis, with the name of each file."""
    return _read(str(out), len(committed(out)))


@st.cache_data(max_entries=4, show_spinner=False)
def _read(out: str, parts: int) -> pd.DataFrame:
    rows: pd.DataFrame = open_output(out).recordings.to_table(COLUMNS).to_pandas()
    rows.insert(0, "name", rows["file"].str.rsplit("/", n=1).str[-1])
    return rows


def select(rows: pd.DataFrame, words: str = "", labels: Sequence[str] = (), kind: str = ALL) -> pd.DataFrame:
    """Return the rows whose name, transcript or error has all words, with one of the labels, if any, and of a kind."""
    chosen = pd.Series(True, rows.index)
    text = (rows["name"] + " " + rows["transcript"].fillna("") + " " + rows["error"].fillna("")).str.casefold()
    for word in words.casefold().split():
        chosen &= text.str.contains(word, regex=False)
    if labels:
        chosen &= rows["label"].isin(labels)
    if kind == UNSURE:
        chosen &= rows["sure"].eq(False).fillna(False).astype(bool)
    elif kind == FAILED:
        chosen &= rows["error"].notna()
    return rows[chosen]


def arrange(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that the page shows: a doubtful emotion has a "?", a problem stands for words."""
    emotion = rows["label"].fillna("") + rows["sure"].eq(False).fillna(False).map({True: "?", False: ""})
    text = rows["error"].fillna(rows["transcript"]).fillna("")
    shown = rows[["name", "confidence", "duration_s"]].assign(language=rows["language"].fillna(""), text=text)
    shown.insert(1, "emotion", emotion)
    return shown


def count_labels(rows: pd.DataFrame, labels: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return for each label how many answers are sure, and how many are not; all are where a model never abstains."""
    unsure = rows["sure"].eq(False).fillna(False).astype(bool)
    return {
        label: (int((mine & ~unsure).sum()), int((mine & unsure).sum()))
        for label in labels
        for mine in [rows["label"].eq(label).fillna(False).astype(bool)]
    }


def count_errors(rows: pd.DataFrame) -> dict[str, int]:
    """Return how many recordings have each kind of error, the most frequent first."""
    return {str(kind): int(number) for kind, number in rows["error_kind"].dropna().value_counts().items()}
