"""A reloaded page finds its answer again, by a token in its address that cannot be guessed.

Streamlit keeps the state of a tab that is gone for a while, since it may come back (`server.disconnectedSessionTTL`).
A reloaded page is a new tab to it, which takes over what the old one had: nothing is kept for this that was not kept
before, nothing is kept for longer, and what is discarded is discarded for both.
"""

from __future__ import annotations

import secrets
import time
from weakref import WeakValueDictionary

import streamlit as st

from ui.listen.job import page_is_open
from ui.session import Session, current

PARAMETER = "answer"
PATIENCE_S = 2.0
"""How long the server may take to notice that the page before the reload is gone."""

_sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()


def resume() -> Session:
    """Return the session of this tab: that of the page before a reload, if its address has the token of one."""
    session, token = current(), st.query_params.get(PARAMETER, "")
    if token and token != session.token and (earlier := _find(token)) is not None:
        session = st.session_state["session"] = earlier
        # Its upload field is another one, and empty.
        session.upload_id, session.framed = None, True
        if session.job is not None:
            session.job.wanted = page_is_open()
    session.left_at = None
    _enter()
    return session


def mark(session: Session) -> None:
    """Put the token of a session into the page's address while there is something to come back to."""
    if session.waiting or session.result or session.files.rows:
        session.token = session.token or secrets.token_urlsafe(16)
        _sessions[session.token] = session
        if st.query_params.get(PARAMETER) != session.token:
            st.query_params[PARAMETER] = session.token
        return
    _sessions.pop(session.token, None)
    session.token = ""
    st.query_params.pop(PARAMETER, None)


def _find(token: str) -> Session | None:
    """Return the session with a token that no page shows any more, or None."""
    session = _sessions.get(token)
    if session is None:
        return None
    deadline = time.monotonic() + PATIENCE_S
    while session.left_at is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    gone_s = time.monotonic() - session.left_at
    return session if gone_s < st.get_option("server.disconnectedSessionTTL") else None


def _leave(session: Session) -> None:
    session.left_at = time.monotonic()


@st.cache_resource(scope="session", on_release=_leave, show_spinner=False)
def _enter() -> Session:
    """Return the session; Streamlit calls `_leave` with it when the tab is closed or loses its connection."""
    return current()
