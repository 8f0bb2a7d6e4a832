"""What the components that run in the browser share: their loading, and microphone.js."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

_MICROPHONE = Path(__file__).with_name("microphone.js")


def component(name: str, folder: Path) -> Any:
    """Return the component made of a folder's index.html, style.css and index.js, which may use microphone.js."""
    scripts = (_MICROPHONE, folder / "index.js")
    return st.components.v2.component(
        name,
        html=(folder / "index.html").read_text(encoding="utf-8"),
        css=(folder / "style.css").read_text(encoding="utf-8"),
        js="\n".join(script.read_text(encoding="utf-8") for script in scripts),
    )
