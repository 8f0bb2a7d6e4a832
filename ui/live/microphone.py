"""The microphone of a live session: streamlit-webrtc's connection, without its buttons.

Each session has a connection of its own, under a key of its own: it is there from start to stop and leaves nothing to
the next one. In Python this is the only file that knows of streamlit-webrtc 0.79.0's private parts.

Its button is out of sight; live_chart/index.js presses it. `desired_playing_state=True` would, too, but in 0.79.0 once
for each time that Streamlit sends the frame its arguments while that still loads: two or three connections then begin,
and the answer to the first fits none of them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui.live.job import LiveJob

if TYPE_CHECKING:
    from ser_engine import Settings

# What a browser does to make calls pleasant distorts the voice that is to be judged.
PLAIN = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}


def ice_servers(settings: Settings) -> list[dict[str, Any]]:
    """Return the servers that help two computers to meet; none where the settings name none."""
    urls = settings.turn.split()
    if not urls:
        return []
    server: dict[str, Any] = {"urls": urls}
    if settings.turn_user:
        server |= {"username": settings.turn_user, "credential": settings.turn_password}
    return [server]


def listen(job: LiveJob, key: str) -> None:
    """Let the browser send its microphone to `job`; call it in every run of the page while the session goes on."""
    from streamlit_webrtc import WebRtcMode, webrtc_streamer

    from ui.live.sink import Sink

    context = st.session_state.get(key)
    if context is not None:
        # It takes the runs of a fragment for visits to another page, after which it would hang up.
        context._last_rendered_run_count = None
    try:
        context = webrtc_streamer(
            key=key,
            mode=WebRtcMode.SENDONLY,
            # Left out, the library would ask the internet for servers.
            rtc_configuration={"iceServers": ice_servers(job.settings)},
            media_stream_constraints={"audio": PLAIN, "video": False},
            sink_audio_track=_sink(job, Sink),
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
    """Load what a connection needs, which takes a second or two; call it when the page has been sent."""
    import streamlit_webrtc  # noqa: F401


def hang_up(key: str) -> None:
    """End the connection; nothing happens where there is none.

    It stays known until `forget`: its frame may have a last word on the way.
    """
    context = st.session_state.get(key)
    worker = context._get_worker() if context is not None else None
    if worker is not None:
        worker.stop()


def forget(key: str) -> None:
    """Forget a connection that has ended."""
    hang_up(key)
    st.session_state.pop(key, None)


def _sink(job: LiveJob, kind: type) -> Any:
    """Return the session's sink, the same in every run."""
    if job.sink is None:
        job.connect()
        job.sink = kind(job.take, lambda: job.end("left"))
    return job.sink
