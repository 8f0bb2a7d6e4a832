"""The sentences of a recording as a list: a click plays from there, and the sentence that is played is highlighted.

It uses the page's own player of the recording, in the browser alone: nothing is sent, and no run of the page begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ui.components.browser import component

_component = component("transcript", Path(__file__).parent)


def list_sentences(rows: Sequence[Mapping[str, Any]], player: str, key: str) -> None:
    """Draw the rows of `ui.listen.wording.sentence_rows`.

    Parameters
    ----------
    rows : one for each sentence
    player : key of the container whose first player has the recording
    key : identifies this component in the session
    """
    _component(key=key, data={"rows": [dict(row) for row in rows], "player": f".st-key-{player} audio"})
