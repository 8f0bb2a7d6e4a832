"""The part of the results page for live sessions on labelled conversations (paper-3's table 48 and figure 34)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from ui import theme
from ui.panels import as_table, draw, shown
from ui.results import charts, comparison, conversation_charts
from ui.results.conversations import Conversation, Measured
from ui.results.run_files import Published
from ui.wording import seconds

COUNTED = {"groups": "Four groups", "emotions": "All emotions"}


def show(found: Sequence[Conversation], published: Mapping[str, Published]) -> None:
    """Show the table of all conversations beside the paper's, then one of them."""
    st.space("small")
    st.header("Live, on a conversation", anchor=False)
    st.html(
        theme.line(
            "quiet",
            "Clips of two voices in turns, with pauses between, played to a live session; every two seconds the answer "
            "is compared with what was meant. A segment that was heard as silence or noise counts as wrong.",
        )
    )
    _table(found, published)
    names = [one.id for one in found]
    chosen = st.selectbox("Conversation", names, key="conversation") if len(names) > 1 else names[0]
    _one(next(one for one in found if one.id == chosen))


def _table(found: Sequence[Conversation], published: Mapping[str, Published]) -> None:
    rows = [
        (
            one.system,
            comparison.NEW if one.new_voices else comparison.HEARD,
            COUNTED[kind],
            *(shown(measured.metrics.get(key)) for key in ("accuracy", "weighted_f1", "macro_f1")),
            f"{measured.tested} segments of {one.id}",
        )
        for one in found
        for kind, measured in (("groups", one.groups), ("emotions", one.emotions))
        if measured
    ]
    for id in dict.fromkeys(id for one in found for id in one.published):
        if id in published:
            paper = published[id]
            figures = (shown(paper.metrics.get(key)) for key in ("WA", "weighted_f1", "macro_f1"))
            rows.append((paper.system, comparison.source(paper), COUNTED["groups"], *figures, paper.protocol))
    columns = ("System", "Voices", "Counting", "Accuracy", "Weighted F1", "Macro F1", "On")
    st.table(dict(zip(columns, (list(column) for column in zip(*rows, strict=True)), strict=True)), hide_index=True)


def _one(one: Conversation) -> None:
    st.html(theme.line("finding", one.note))
    kinds = [kind for kind, measured in (("groups", one.groups), ("emotions", one.emotions)) if measured]
    kind = st.segmented_control(
        "Counting", kinds, format_func=COUNTED.__getitem__, default=kinds[0], required=True,
        key="conversation-kind", label_visibility="collapsed",
    )  # fmt: skip
    measured = one.groups if kind == "groups" else one.emotions
    assert measured is not None
    st.html(theme.facts(_facts(one, measured)))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Segments taken for what", anchor=False)
        figure = charts.confusion_of(measured.confusion, measured.labels, "segments")
        draw(figure, _told(measured), f"conversation-confusion-{kind}")
        as_table({"Meant": measured.labels, **_columns(measured)})
    with right:
        _responses(one)


def _facts(one: Conversation, measured: Measured) -> list[tuple[str, str]]:
    session = one.session
    return [
        ("Accuracy", f"{shown(measured.metrics.get('accuracy'))}%"),
        ("Weighted F1", f"{shown(measured.metrics.get('weighted_f1'))}%"),
        ("Macro F1", f"{shown(measured.metrics.get('macro_f1'))}%"),
        ("Segments", f"{measured.tested}, {measured.unanswered} of them heard as none"),
        ("Conversation", f"{seconds(one.duration_s)}, {len(one.speakers) or 'unknown'} voices"),
        ("Window and hop", f"{session.get('window_s')} s, {session.get('hop_s')} s"),
        ("Response, median", f"{one.response_ms['p50']:.0f} ms" if "p50" in one.response_ms else "–"),
        ("Response, 95% under", f"{one.response_ms['p95']:.0f} ms" if "p95" in one.response_ms else "–"),
    ]


def _told(measured: Measured) -> str:
    """Return the confusion in words: how many of each were heard as what they were."""
    parts = [
        f"{label} {row[place]} of {sum(row)}"
        for place, (label, row) in enumerate(zip(measured.labels, measured.confusion, strict=True))
        if sum(row)
    ]
    return "Segments named as they were meant, of those answered: " + ", ".join(parts)


def _columns(measured: Measured) -> dict[str, list[int]]:
    columns = zip(*measured.confusion, strict=True)
    return {f"as {label}": list(column) for label, column in zip(measured.labels, columns, strict=True)}


def _responses(one: Conversation) -> None:
    st.subheader("Response time, segment by segment", anchor=False)
    timed = [segment for segment in one.segments if segment.response_ms is not None]
    if not timed:
        st.html(theme.line("quiet", "No response times were kept."))
        return
    told = f"Milliseconds from a window's end to its answer, {len(timed)} segments: " + ", ".join(
        f"{name} {one.response_ms[key]:.0f}"
        for key, name in (("p50", "median"), ("p95", "95% under"), ("most", "most"))
        if key in one.response_ms
    )
    draw(conversation_charts.response_times(timed), told, "response-times")
    st.html(theme.line("quiet", f"{told}. Paper-3 has 491 on average for the server alone, with three models."))
    as_table(
        {
            "From": [f"{segment.start:.0f} s" for segment in one.segments],
            "Meant": [segment.true or "–" for segment in one.segments],
            "Heard": [segment.heard or "–" for segment in one.segments],
            "Milliseconds": [segment.response_ms for segment in one.segments],
        }
    )
