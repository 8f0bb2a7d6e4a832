"""Several speakers of a recording: their answers, their lanes, their names, and which one is shown in full."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ser_engine.types import Analysis, Channel
from ui import panels, theme, wording
from ui.listen import lanes
from ui.listen.wording import clipping, decibels
from ui.panels import as_table, note
from ui.session import Result
from ui.wording import moment, percent, verbatim


def show_answers(analysis: Analysis) -> None:
    """Show the headline of each speaker."""
    count = len(analysis.speakers)
    title = "One speaker" if count == 1 else f"{wording.count(count).capitalize()} speakers"
    st.header(title, anchor=False)
    st.html(
        theme.answers(
            [
                (
                    each.name,
                    f"{percent(each.share)} of the talking time",
                    wording.headline(each.answer.scores, each.answer.threshold),
                )
                for each in analysis.speakers
            ]
        )
    )


def show_lanes(result: Result) -> None:
    """Draw the turns of all speakers over time, and offer them as a table."""
    analysis = result.current
    st.subheader("Who speaks when", anchor=False)
    if signs := lanes.legend(analysis):
        st.html(theme.legend(signs))
    if "lanes" not in result.figures:
        result.figures["lanes"] = lanes.lanes(analysis)
    rows = sorted(
        ((bar, each.name) for each in analysis.speakers for bar in lanes.turn_bars(each)),
        key=lambda row: row[0].start,
    )
    duration = analysis.quality.duration_s
    alt = "; ".join(lanes.described(*row, duration) for row in rows[:20])
    panels.draw(result.figures["lanes"], f"Turns of the speakers: {alt}", "lanes")
    as_table(
        {
            "From": [moment(bar.start, duration) for bar, _ in rows],
            "To": [moment(bar.end, duration) for bar, _ in rows],
            "Speaker": [verbatim(name) for _, name in rows],
            "Most probable": [verbatim(bar.emotion) or None for bar, _ in rows],
            "Probability": [percent(float(bar.scores.probabilities.max())) if bar.scores else None for bar, _ in rows],
        },
        height=min(400, 40 * (len(rows) + 1)),
    )


def choose(result: Result, words_key: str) -> None:
    """Let the person choose whose answer is shown in full, and rename the speakers."""
    names = [each.name for each in result.current.speakers]
    digest = result.recording.digest
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="speakers"):
        st.html(theme.line("quiet", "The answer in full for"), width="content")
        row = st.segmented_control(
            "Speaker", range(len(names)), format_func=lambda row: verbatim(names[row]), default=result.speaker,
            key=f"speaker-{digest}", label_visibility="collapsed",
        )  # fmt: skip
        with st.popover("Rename", icon=":material/edit:"):
            for number, name in enumerate(names):
                key = f"name-{digest}-{number}"
                st.text_input(
                    f"Speaker {number + 1}", name, key=key, max_chars=40,
                    on_change=partial(_rename, result, number, key, words_key),
                )  # fmt: skip
            note("The names go into the transcript and the downloads.")
    result.select(result.speaker if row is None else row)


def _rename(result: Result, number: int, key: str, words_key: str) -> None:
    """Take a new name from its field, unless it is empty or another speaker's."""
    names = [each.name for each in result.current.speakers]
    given = st.session_state[key].strip()
    if not given or given in names:
        st.session_state[key] = names[number]
        return
    result.take_name(names[number], given)
    if words_key in st.session_state:
        st.session_state[words_key] = result.words


def show_players(result: Result) -> None:
    """Play what is shown in full: the speaker's channel, where there is one, and the speech of it."""
    speaker = result.current.speakers[result.speaker]
    if speaker.channel is not None and speaker.answer.has_sound:
        st.subheader(f"Channel: {verbatim(speaker.name)}", anchor=False)
        data, kind = result.shown_overview.sound
        st.audio(data, format=kind, alt=f"The channel of {speaker.name}")


def show_channels(channels: tuple[Channel, ...]) -> None:
    """Show the quality of each channel of the file, before any mixing."""
    if not channels:
        return
    st.subheader("Channels", anchor=False)
    panels.table(
        {
            "Channel": [verbatim(each.name) for each in channels],
            "In the answer": ["yes" if each.used else "no" for each in channels],
            "Speech level": [f"{each.quality.level_db:.0f} dBFS" for each in channels],
            "Signal-to-noise ratio": [decibels(each.quality.snr_db) for each in channels],
            "Clipped samples": [clipping(each.quality.clipping) for each in channels],
        }
    )
