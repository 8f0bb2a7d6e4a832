"""What a page writes, for the tests that run pages in process."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def text(page: AppTest) -> str:
    """Return everything that the page writes, headings and HTML included."""
    written = [
        str(element.value) for kind in ("title", "header", "subheader", "markdown") for element in page.get(kind)
    ]
    return "\n".join(written + [element.proto.body for element in page.get("html")])
