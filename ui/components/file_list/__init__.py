"""The files of the Listen page as a list: name, headline and seconds of each; a click opens its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from ui.components.browser import component

_component = component("file_list", Path(__file__).parent)


def list_files(rows: Sequence[Mapping[str, Any]], key: str, opened: Callable[[str], None]) -> None:
    """Draw the rows of `ui.listen.files.list_rows`; `opened` is called with the key of a row after a click on it."""

    def act() -> None:
        if (row := st.session_state[key].get("opened")) is not None:
            opened(row)

    _component(key=key, data={"rows": [dict(row) for row in rows]}, on_opened_change=act)
