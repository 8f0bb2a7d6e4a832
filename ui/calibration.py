"""“Calibrate to my voice”: a calm sample of the speaker, with which both pages compare what they analyze."""

from __future__ import annotations

import logging

import streamlit as st

from ser_engine.errors import SerError
from ui import engine, wording
from ui.components.recorder import record
from ui.panels import note
from ui.session import Session

SECONDS = 25
"""How long the recorder takes: the speech in it has to be `analyzer.MIN_BASELINE_S`."""
POLL_S = 1.0
"""How often the page looks whether the model has been loaded."""
HEIGHT_PX = 40
"""Height of the closed expander, which is left free meanwhile."""
UNEXPECTED = "Something went wrong with this sample; please try another one."


def show(state: Session, applies: str = "") -> None:
    """Offer to calibrate the chosen model to a voice, or show that it is; nothing for a model that cannot do it.

    `applies` says to what a new baseline applies, where that is not what the page shows.
    """
    able = engine.can_calibrate(state.model)
    with st.container(key="calibration"):
        if able is None:
            st.space(HEIGHT_PX)
            st.fragment(_wait, run_every=POLL_S)(state.model)
        elif able and state.baseline is None:
            _offer(state)
        elif able:
            _show_calibrated(state, applies)


def _wait(model: str) -> None:
    """Run the whole page again as soon as it is known whether the model can be calibrated."""
    if engine.can_calibrate(model) is not None:
        st.rerun()


def _offer(state: Session) -> None:
    """Ask for a calm sample, and calibrate to it."""
    with st.expander("Calibrate to my voice"):
        note(
            f"Read anything aloud for {SECONDS} seconds in your normal, calm voice. Emotions are then measured against "
            "it. The sample stays in this session."
        )
        left, right = st.columns(2, gap="medium")
        with left:
            limit_mb = max(1, engine.analyzer("").settings.max_bytes // 2**20)
            upload = st.file_uploader(
                "Upload a calm sample", key="calm-upload", label_visibility="collapsed", max_upload_size=limit_mb
            )
        with right:
            spoken = record(key="calm-recorder", seconds=SECONDS)
        state.notice_sample(upload)
        state.sample = spoken or state.sample
        if state.sample is not None:
            _calibrate(state, state.sample)
            if state.baseline is not None:
                st.rerun()
        if state.sample_error is not None:
            st.error(wording.verbatim(state.sample_error))


def _calibrate(state: Session, sample: bytes) -> None:
    """Calibrate to a sample; on failure, the session has the error. A sample waits on if another click interrupts."""
    try:
        with st.spinner("Calibrating."):
            state.calibrate(engine.analyzer(state.model).calibrate(sample))
    except SerError as error:
        state.sample, state.sample_error = None, str(error)
    except Exception:
        logging.getLogger(__name__).exception("A calm sample failed unexpectedly")
        state.sample, state.sample_error = None, UNEXPECTED


def _show_calibrated(state: Session, applies: str) -> None:
    """Show how much speech the baseline is from, with a button that removes it."""
    if state.baseline is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note(f"Calibrated with {state.baseline.speech_s:.0f} s of your voice. {applies}".strip(), width="content")
        st.button("Remove", key="calm-remove", type="tertiary", on_click=state.calibrate, args=(None,))
