"""A chart with its words and its table: what every figure of the results page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui.listen import charts

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def draw(figure: Figure, alt: str, key: str) -> None:
    """Draw a figure; `alt` says the same in words."""
    st.plotly_chart(figure, config=charts.CONFIG, alt=alt, key=key)


def as_table(columns: Mapping[str, Sequence[object]]) -> None:
    """Offer what a chart shows as a table, for those who cannot see it or want the figures."""
    with st.expander("As a table"):
        st.table({name: [shown(value) for value in values] for name, values in columns.items()}, hide_index=True)


def shown(value: object) -> str:
    """Return a figure with one decimal, text as it is, and a dash for what is missing."""
    return "–" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
