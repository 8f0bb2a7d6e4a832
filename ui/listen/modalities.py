"""What a model that listens and reads thinks by the voice alone, by the words alone, and by both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui import panels, theme, wording
from ui.listen import charts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ser_engine.types import Scores
    from ui.session import Result


def show(result: Result) -> None:
    """Draw the three opinions as bars, with a sentence on what the words did; nothing of a model that has but one."""
    opinions = result.current.modalities
    if not opinions:
        return
    st.space("small")
    st.header("Voice and words", anchor=False)
    said = result.current.transcript.text if result.current.transcript else ""
    st.html(theme.line("quiet", wording.influence(opinions, said)))
    kinds = [kind for kind in wording.OPINIONS if kind in opinions]
    st.html(theme.legend([(charts.OPINION_SIGNS[kind], wording.OPINIONS[kind]) for kind in kinds]))
    if "opinions" not in result.figures:
        result.figures["opinions"] = charts.opinion_bars(opinions)
    told = "; ".join(f"{wording.OPINIONS[kind]}: {wording.ranking(opinions[kind])}" for kind in kinds)
    panels.draw(result.figures["opinions"], told, "opinions")
    panels.as_table(table(opinions))


def table(opinions: Mapping[str, Scores]) -> dict[str, list[object]]:
    """Return the opinions as columns, the labels in the order of both together."""
    labels = [label for label, _ in opinions["fused"].ranked()]
    columns: dict[str, list[object]] = {
        wording.kind(labels).capitalize(): [wording.verbatim(wording.name(label)) for label in labels]
    }
    for kind, title in wording.OPINIONS.items():
        if kind in opinions:
            values = opinions[kind].to_dict()
            columns[title] = [wording.percent(values[label]) for label in labels]
    return columns
