"""Pieces that every page is made of: sections, notes, charts with their table, downloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import streamlit as st
from plotly.graph_objects import Figure

from ui import theme

CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""For st.plotly_chart: charts without a toolbar that a finger can scroll past."""


def section(title: str, text: str = "") -> None:
    """Begin a section of the page, with a note under its heading."""
    st.space("small")
    st.header(title, anchor=False)
    if text:
        note(text)


def note(text: str, width: Literal["stretch", "content"] = "stretch") -> None:
    """Write a small paragraph."""
    st.html(theme.line("quiet", text), width=width)


def draw(figure: Figure, alt: str, key: str) -> None:
    """Draw a figure; `alt` describes it in words."""
    # Plotly trusts any pandas in sys.modules, also one that the warm-up's thread has only half imported.
    import pandas  # noqa: F401

    st.plotly_chart(figure, config=CONFIG, alt=alt, key=key)


def as_table(columns: Mapping[str, Sequence[object]], height: int | None = None) -> None:
    """Offer the values of a chart as a table."""
    with st.expander("As a table"):
        table(columns, height)


def table(columns: Mapping[str, Sequence[object]], height: int | None = None) -> None:
    """Draw a table of `columns`, scrollable where it is higher than `height` pixels."""
    rows = {name: [written(value) for value in values] for name, values in columns.items()}
    st.table(rows, hide_index=True, height=height or "content")


def written(value: object) -> str:
    """Return a float with one decimal, a dash for None, and anything else as text."""
    return "–" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def download(label: str, data: Callable[[], str | bytes], name: str, mime: str) -> None:
    """Draw a button that downloads `data()` as a file, made at the click."""
    st.download_button(label, data, name, mime, on_click="ignore", icon=":material/download:")
