"""The microphone of a live session: streamlit-webrtc's connection, without its buttons.

Each session has a connection of its own, under a key of its own. This is the only Python file that touches private
attributes of streamlit-webrtc 0.79.0.

Its button is hidden; components/live_chart/index.js presses it. `desired_playing_state=True` would do so once for each
time that Streamlit sends the frame its arguments while that still loads: two or three connections then begin, and the
answer to the first fits none of them.
"""

from __future__ import annotations

import logging
from typing import Any

import streamlit as st

from ser_engine import Settings
from ui.live.job import LiveJob

# The processing that browsers apply to calls distorts the voice.
PLAIN = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}


def ice_servers(settings: Settings) -> list[dict[str, Any]]:
    """Return the STUN and TURN servers of the settings."""
    server: dict[str, Any] = {"urls": settings.turn.split()}
    if settings.turn_user:
        server |= {"username": settings.turn_user, "credential": settings.turn_password}
    return [server] if server["urls"] else []


def connect(job: LiveJob, key: str) -> None:
    """Connect the browser's microphone to `job`; call it in every run of the page while the session goes on."""
    from streamlit_webrtc import WebRtcMode, webrtc_streamer

    from ui.live.sink import Sink

    context = st.session_state.get(key)
    if context is not None:
        # It mistakes runs of a fragment for visits to another page, after which it would hang up.
        context._last_rendered_run_count = None
    if job.sink is None:
        job.connect()
        job.sink = Sink(job.take, lambda: job.end("left"))
    try:
        context = webrtc_streamer(
            key=key,
            mode=WebRtcMode.SENDONLY,
            # Without this, the library would use public servers.
            rtc_configuration={"iceServers": ice_servers(job.settings)},
            media_stream_constraints={"audio": PLAIN, "video": False},
            sink_audio_track=job.sink,
            media_toggle_controls=False,
        )
    except Exception:
        logging.getLogger(__name__).exception("A live session could not be connected")
        job.end("unreachable")
        return
    worker = context._get_worker()
    if worker is not None:
        job.hang_up = worker.stop


def prepare() -> None:
    """Import the connection's library, which takes a second or two; call it when the page has been sent."""
    import streamlit_webrtc  # noqa: F401


def hang_up(key: str) -> None:
    """End the connection, if there is one; its state stays until `forget`, since its frame may send a last message."""
    context = st.session_state.get(key)
    worker = context._get_worker() if context is not None else None
    if worker is not None:
        worker.stop()


def forget(key: str) -> None:
    """Forget a connection that has ended."""
    hang_up(key)
    st.session_state.pop(key, None)
