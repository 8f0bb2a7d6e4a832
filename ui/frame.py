"""What every page has around it: its title and style, the navigation, and the login where there is one."""

import streamlit as st

from ui import access, reload, session, theme


def show() -> None:
    """Show the page that was asked for."""
    st.set_page_config(page_title="Speech emotion", page_icon=theme.ICON, layout="wide")
    theme.apply()
    allowed = access.is_allowed()
    with (reload.resume() if allowed else session.current()).run():
        page = st.navigation(
            [
                st.Page("pages/listen.py", title="Listen", icon=":material/graphic_eq:", default=True),
                st.Page("pages/live.py", title="Live", icon=":material/mic:"),
                st.Page("pages/batch.py", title="Batch", icon=":material/stacks:"),
                st.Page("pages/results.py", title="Results", icon=":material/analytics:"),
                st.Page("pages/about.py", title="About", icon=":material/info:"),
            ],
            position="top" if allowed else "hidden",
        )
        if allowed:
            page.run()
            access.show_account()
        else:
            access.ask()
