"""A component that records in the browser, some seconds or as long as a person speaks, and sends a wav file."""

from __future__ import annotations

import base64
import io
import logging
import wave
from pathlib import Path

import streamlit as st

from ser_engine.errors import InvalidAudio
from ui.components.browser import component

SECONDS = 3
"""How long a recording is that ends by itself, unless `record` is asked for another length."""
LONGEST = 60
"""How long a recording is at most that the person ends, in seconds, unless `record` is asked for another length."""
RATES = range(8_000, 192_001)
"""The rates, in Hz, that a browser's audio context can have."""
PROBLEMS = (
    "insecure", "denied", "framed", "forbidden", "absent", "busy", "lost", "silent", "stuck", "failed",
)  # fmt: skip
"""Why a browser could not record; index.js has a sentence for each."""

_component = component("recorder", Path(__file__).parent)


def record(key: str, seconds: int = SECONDS, longest: int = LONGEST) -> bytes | None:
    """Draw the recorder; return a new recording once, in the first run of the page after it was made.

    It is a wav file: mono, 16-bit PCM, at 48 kHz (or the browser's own rate where it does not convert), of exactly
    `seconds` or, where the person chose to end it, of at most `longest`. `key` identifies this recorder in the session.

    Elements above the recorder must not come and go while it records: Streamlit makes an element anew when its place
    changes, which ends a recording.
    """
    _component(
        key=key,
        data={"seconds": seconds, "longest": longest},
        on_recording_change=lambda: _store(key, "recording"),
        on_speech_change=lambda: _store(key, "speech"),
        on_problem_change=lambda: _note(key),
    )
    event, arrived = st.session_state.pop(f"{key}-arrived", ("", None))
    if arrived is None:
        return None
    try:
        return decode(arrived, seconds) if event == "recording" else decode(arrived, 0, longest)
    except InvalidAudio as error:
        logging.getLogger(__name__).warning("The browser did not send a recording that it announced")
        st.error(str(error))
        return None


def problem(key: str) -> str | None:
    """Return why the last recording failed, as one of `PROBLEMS`; None if it did not."""
    return st.session_state.get(f"{key}-problem")


def decode(text: object, seconds: float = SECONDS, longest: float | None = None) -> bytes:
    """Return the wav file that the browser sent as base64, of at least `seconds` and at most `longest` (the same).

    Raise InvalidAudio if it is no wav file of that length: mono, 16 bits.
    """
    longest = seconds if longest is None else longest
    damaged = InvalidAudio("The recording arrived damaged; please record again.")
    if not isinstance(text, str) or len(text) > max_base64(longest):
        raise damaged
    try:
        data = base64.b64decode(text, validate=True)
        with wave.open(io.BytesIO(data)) as wav:
            rate = wav.getframerate()
            frames = wav.readframes(wav.getnframes())
            shape = (wav.getnchannels(), wav.getsampwidth())
    except (ValueError, EOFError, wave.Error):
        raise damaged from None
    count = len(frames) // 2
    if rate not in RATES or shape != (1, 2) or not (count and seconds * rate <= count <= longest * rate):
        raise damaged
    return data


def max_base64(seconds: float) -> int:
    """Return the length of the longest recording as base64."""
    return 4 * (44 + 2 * round(seconds) * RATES[-1]) // 3 + 4


# The value of a trigger is there in one run only, and that run may be interrupted by another click before it reaches
# the recorder. Callbacks come before the run: what they store waits until a run takes it.


def _store(key: str, event: str) -> None:
    """Store a recording that has just arrived."""
    if (value := st.session_state[key].get(event)) is not None:
        st.session_state[f"{key}-arrived"] = event, value
        st.session_state.pop(f"{key}-problem", None)


def _note(key: str) -> None:
    """Remember why the browser could not record."""
    kind = st.session_state[key].get("problem")
    if kind in PROBLEMS:
        st.session_state[f"{key}-problem"] = kind
        logging.getLogger(__name__).info("A browser could not record: %s", kind)
