"""References to pre-trained encoders: a hub id with a commit, or a folder with the checksum of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ser_engine.errors import InvalidSettings

# Encoders that the papers name or that are in frequent use. A commit is given only where it was checked with the
# publisher; for all others the user names the commit, so that the weights cannot change unnoticed.
WELL_KNOWN: dict[str, str] = {
    "facebook/hubert-base-ls960": "",
    "facebook/hubert-large-ll60k": "",
    "facebook/hubert-xlarge-ll60k": "",
    "facebook/wav2vec2-base": "",
    "facebook/wav2vec2-large": "",
    "microsoft/wavlm-base-plus": "",
    "microsoft/wavlm-large": "",
    "openai/whisper-base": "",
    "openai/whisper-small": "",
    "openai/whisper-large-v3": "",
    "google-bert/bert-base-uncased": "",
    "google-bert/bert-base-multilingual-cased": "",
    "sentence-transformers/all-MiniLM-L6-v2": "",
}
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

        Raises
        ------
        InvalidSettings
            It is empty, or the part after @ is no commit (40 hexadecimal digits; a branch would move).
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
        return cls(id, revision or WELL_KNOWN.get(id, ""))

    @classmethod
    def from_dict(cls, entries: Mapping[str, str]) -> EncoderReference:
        """Read what `to_dict` wrote."""
        return cls(**entries)

    def to_dict(self) -> dict[str, str]:
        """Return the reference as JSON-ready values."""
        return asdict(self)
