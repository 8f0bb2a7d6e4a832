"""Who may use the page: everyone, or those who log in with OpenID Connect where that is configured.

Streamlit's own login reads the table [auth] of .streamlit/secrets.toml (see docs/deployment.md). The table [access] may
name the e-mail addresses or their domains; without it, whoever the provider knows is let in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from ui.panels import note


def is_configured() -> bool:
    """Return whether a login is needed; also where the file that may say so cannot be read."""
    return "auth" in st.secrets if st.secrets.load_if_toml_exists() else _is_damaged()


def _is_damaged() -> bool:
    return any(Path(file).exists() for file in st.get_option("secrets.files") or ())


def account() -> str:
    """Return the account of the visitor; empty where no login is needed, or before it."""
    return str(st.user.get("sub") or st.user.get("email") or "") if _is_logged_in() else ""


def _is_logged_in() -> bool:
    return is_configured() and bool(st.user.get("is_logged_in"))


def allows(email: str, verified: bool, emails: Sequence[str], domains: Sequence[str]) -> bool:
    """Return whether an account may use the page, where some are named."""
    if not emails and not domains:
        return True
    email = email.lower()
    named = {each.lower() for each in emails}, {each.lower().removeprefix("@") for each in domains}
    return verified and (email in named[0] or email.rpartition("@")[2] in named[1])


def is_allowed() -> bool:
    """Return whether the visitor of this run may use the page."""
    if not is_configured():
        return True
    return _is_logged_in() and allows(*_email(), *_named())


def ask() -> None:
    """Draw what a visitor can do who may not use the page."""
    if not _is_logged_in():
        st.title("Log in to use this page", anchor=False)
        if not st.secrets.load_if_toml_exists():
            st.error("The server's secrets.toml cannot be read, so nobody is let in.")
            return
        st.button("Log in", on_click=st.login, type="primary")
        return
    st.title(f"{_email()[0] or 'This account'} may not use this page", anchor=False)
    st.button("Log out", on_click=st.logout, type="primary")


def show_account() -> None:
    """Draw the account below a page, with a way to log out, where there is a login."""
    if is_configured():
        with st.container(horizontal=True, vertical_alignment="center"):
            note(f"Logged in as {_email()[0] or 'a visitor'}.")
            st.button("Log out", on_click=st.logout, type="tertiary")


def _email() -> tuple[str, bool]:
    """Return the e-mail address of the account, and whether the provider vouches for it."""
    return str(st.user.get("email") or ""), st.user.get("email_verified") is not False


def _named() -> tuple[Sequence[str], Sequence[str]]:
    """Return the e-mail addresses and the domains that are let in; none of both for everyone."""
    access = st.secrets.get("access", {})
    return access.get("emails", ()), access.get("domains", ())
