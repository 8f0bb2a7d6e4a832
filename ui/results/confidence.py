"""The part of the results page that shows how sure a run's answers are, and what it is worth to withhold some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import theme, wording
from ui.listen.charts import plain
from ui.panels import as_table, draw
from ui.results.run_files import Run, number
from ui.theme import ACCENT, ACCENT_SOFT, GREY

if TYPE_CHECKING:
    from plotly import graph_objects as go

TICKS = (0, 0.25, 0.5, 0.75, 1)
Point = dict[str, float]


def show(run: Run) -> None:
    """Draw reliability and the accuracy of the surest answers; nothing of a run that did not measure them."""
    bins = points(run.confidence, "reliability", ("confidence", "accuracy", "clips"))
    curve = points(run.confidence, "coverage", ("coverage", "accuracy"))
    if not bins or not curve:
        return
    st.subheader("How sure it is", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        st.html(theme.line("caption", "How often it is right when it says so"))
        told = "; ".join(f"{percent(one['confidence'])} said, {percent(one['accuracy'])} right" for one in bins)
        draw(reliability(bins), f"Reliability: {told}", "reliability")
        as_table(
            {
                "It said": [percent(one["confidence"]) for one in bins],
                "It was right": [percent(one["accuracy"]) for one in bins],
                "Clips": [f"{one['clips']:.0f}" for one in bins],
            }
        )
    with right:
        st.html(theme.line("caption", "How often its surest answers are right"))
        told = "; ".join(f"of {percent(one['coverage'])} {percent(one['accuracy'])}" for one in curve)
        draw(coverage(curve), f"Accuracy of the surest answers: {told}", "coverage")
        as_table(
            {
                "Answered": [percent(one["coverage"]) for one in curve],
                "Right": [percent(one["accuracy"]) for one in curve],
            }
        )
    st.html(theme.line("quiet", worth(run.confidence)))


def points(found: Mapping[str, Any] | None, key: str, names: Sequence[str]) -> list[Point]:
    """Return the points of a list in run.json's `confidence`, those of them that have all their numbers."""
    listed = (found or {}).get(key)
    read = [
        {name: value for name in names if (value := number(one.get(name))) is not None}
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    ]
    return [one for one in read if len(one) == len(names)]


def worth(found: Mapping[str, Any] | None) -> str:
    """Return what saying "not sure" is worth, in a sentence."""
    threshold = (found or {}).get("threshold")
    known = points({"threshold": [threshold]}, "threshold", ("below", "coverage", "accuracy", "without"))
    dashed = "Dashed: as often right as it says."
    return f"{dashed} {wording.doubt({'not_sure': known[0]})}" if known else dashed


def percent(share: float) -> str:
    """Return a share as whole per cent."""
    return f"{100 * share:.0f}%"


def reliability(bins: Sequence[Point]) -> go.Figure:
    """Draw the share that is right over the probability that was said; a mark is the larger the more clips it is of."""
    import plotly.graph_objects as go

    most = max(one["clips"] for one in bins)
    figure = go.Figure(
        [
            go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "width": 1, "dash": "dash"}),
            go.Scatter(
                x=[one["confidence"] for one in bins],
                y=[one["accuracy"] for one in bins],
                mode="lines+markers",
                line={"color": ACCENT, "width": 2},
                marker={
                    "size": [6 + 12 * (one["clips"] / most) ** 0.5 for one in bins],
                    "color": ACCENT_SOFT,
                    "line": {"width": 1.5, "color": ACCENT},
                },
                customdata=[one["clips"] for one in bins],
                hovertemplate="said %{x:.0%}, right %{y:.0%} of %{customdata} clips<extra></extra>",
            ),
        ]
    )
    return _square(figure, "top probability", "right")


def coverage(curve: Sequence[Point]) -> go.Figure:
    """Draw the share that is right among the surest answers over how many of all these are."""
    import plotly.graph_objects as go

    figure = go.Figure(
        go.Scatter(
            x=[one["coverage"] for one in curve],
            y=[one["accuracy"] for one in curve],
            mode="lines+markers",
            line={"color": ACCENT, "width": 2},
            marker_size=6,
            hovertemplate="of the surest %{x:.0%}, %{y:.0%} right<extra></extra>",
        )
    )
    return _square(figure, "answered", "right")


def _square(figure: go.Figure, x: str, y: str) -> go.Figure:
    """Give a chart two axes from 0 to 100 per cent."""
    plain(figure, height=280)
    figure.update_layout(margin_l=52, margin_r=12, margin_b=44)
    axis = {"range": [-0.02, 1.04], "tickvals": TICKS, "tickformat": ".0%", "zeroline": False, "ticks": ""}
    figure.update_xaxes(title_text=x, **axis)
    figure.update_yaxes(title_text=y, **axis)
    return figure
