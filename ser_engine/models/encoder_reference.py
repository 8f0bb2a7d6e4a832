"""References to pre-trained encoders: a hub id with a commit, or a folder with the checksum of its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ser_engine.errors import InvalidSettings

# Names from before the hub had owners for everything.
FORMER_NAMES = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-multilingual-cased": "google-bert/bert-base-multilingual-cased",
}

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class EncoderReference:
    """A reference to an encoder: its id or folder, the commit of an id, the SHA-256 of a folder's weights ("": any)."""

    id: str
    revision: str = ""
    sha256: str = ""

    @classmethod
    def parse(cls, text: str) -> EncoderReference:
        """Read "id", "id@commit" or a folder's path.

        Raise InvalidSettings if it is empty, or if the part after @ is no commit: a branch would move.
        """
        id, at, revision = text.strip().rpartition("@")
        # A folder may have an @ in its name.
        if not at or "/" in revision or Path(text).expanduser().is_dir():
            id, at, revision = text.strip(), "", ""
        id = FORMER_NAMES.get(id, id)
        if not id:
            raise InvalidSettings("The name of an encoder is empty.")
        if at and not COMMIT.fullmatch(revision):
            raise InvalidSettings(
                f"“{revision}” is no pinned revision of {id}: it takes the 40 hexadecimal digits of a commit."
            )
        return cls(id, revision)
