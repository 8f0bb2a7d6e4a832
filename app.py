"""The web page: its configuration and its navigation. Run it with `streamlit run app.py`."""

import streamlit as st

from ui import reload, theme

st.set_page_config(page_title="Speech emotion", page_icon=theme.ICON, layout="wide")
theme.apply()
with reload.resume().run():
    st.navigation(
        [
            st.Page("pages/listen.py", title="Listen", icon=":material/graphic_eq:", default=True),
            st.Page("pages/live.py", title="Live", icon=":material/mic:"),
            st.Page("pages/results.py", title="Results", icon=":material/analytics:"),
            st.Page("pages/about.py", title="About", icon=":material/info:"),
        ],
        position="top",
    ).run()
