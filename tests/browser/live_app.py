"""The live page, and a page that shows the tasks and threads of the server to another session."""

import asyncio
import json
import threading

import streamlit as st
from streamlit.runtime import Runtime

from ui import session, theme


def busy() -> None:
    """Write the names of all threads of live sessions and of all tasks of the event loop."""
    loop = Runtime.instance()._get_async_objs().eventloop
    threads = [thread.name for thread in threading.enumerate()]
    tasks = [getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks(loop)]
    found = {
        "threads": sorted(name for name in threads if name.startswith(("live-", "ShutdownPolling", "process_offer"))),
        "decoders": sum("decoder" in name for name in threads),
        "tasks": sorted(name for name in tasks if any(word in name for word in ("run_track", "Sink", "RTC", "Dtls"))),
    }
    st.text(json.dumps(found))


def home() -> None:
    """Stand where a person goes who leaves the live page."""
    st.title("Elsewhere", anchor=False)


st.set_page_config(layout="wide")
theme.apply()
with session.current().run():
    st.navigation(
        [
            st.Page("../../pages/live.py", title="Live", default=True),
            st.Page(home, title="Elsewhere", url_path="elsewhere"),
            st.Page(busy, title="Busy", url_path="busy"),
        ],
        position="top",
    ).run()
