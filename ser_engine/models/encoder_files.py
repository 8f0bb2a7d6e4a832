"""The files of pre-trained encoders: in a folder, in models/encoders, in the hub's cache, or downloaded from the hub.

A hub's encoder without a commit is the newest one, which is said on standard error; the commit is part of the answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.download_bar import DownloadBar
from ser_engine.models.encoder_reference import HUB_ID, EncoderReference
from ser_engine.models.hub_files import Reference, cached_files, download_files, newest_commit
from ser_engine.models.store import CONFIG
from ser_engine.settings import Settings

FILES = ("*.json", "*.txt", "*.model")
"""What describes an encoder and its tokenizer."""

_said: set[str] = set()


@dataclass(frozen=True)
class EncoderFiles:
    """A folder that holds an encoder, its reference (of the hub with its commit), and whether it is the hub's cache."""

    folder: Path
    reference: EncoderReference
    from_hub: bool = False


def locate(reference: EncoderReference, settings: Settings, needed: Sequence[str] = (CONFIG,)) -> EncoderFiles:
    """Return the files of an encoder, downloaded where need be and where the settings permit.

    `needed` are the names of files, one of which a local folder has to hold.
    Raise WeightsUnavailable, which says both ways to get them, if they are neither here nor downloaded.
    """
    if folder := find_folder(reference, settings, needed):
        return EncoderFiles(folder, reference)
    place = settings.models_dir / "encoders" / reference.id
    if not HUB_ID.fullmatch(reference.id):
        raise WeightsUnavailable(
            f"There is no encoder “{reference.id}”: name a folder that holds config.json and model.safetensors, put it "
            f"at {settings.models_dir / 'encoders' / Path(reference.id).name}, or name owner/model or "
            "owner/model@commit at huggingface.co."
        )
    try:
        commit = reference.revision or newest_commit(reference.id, settings)
        pinned = replace(reference, revision=commit)
        wanted = Reference(reference.id, commit or None)
        folder = cached_files(wanted, FILES) if commit else None
        if folder is None:
            if not settings.allow_download:
                raise WeightsUnavailable(
                    f"The encoder {reference.id} is not on this computer: set SER_ALLOW_DOWNLOAD=yes to have it "
                    f"downloaded from huggingface.co, or put its files into {place}."
                )
            folder = download_files(wanted, FILES, settings, DownloadBar(reference.id))
    except WeightsUnavailable as error:
        if str(place) in str(error):
            raise
        raise WeightsUnavailable(f"{error} Its files can also be put into {place}.") from error
    if not reference.revision and commit not in _said:
        _said.add(commit)
        which = "the newest" if settings.allow_download else "the newest on this computer"
        tqdm.write(f"{reference.id}@{commit}: no commit was named, and this is {which}.", file=sys.stderr)
    return EncoderFiles(folder, pinned, from_hub=True)


def find_folder(reference: EncoderReference, settings: Settings, needed: Sequence[str] = (CONFIG,)) -> Path | None:
    """Return the folder that holds the encoder: its path, or its place in models/encoders or models; None if none."""
    given = Path(reference.id).expanduser()
    inside = settings.models_dir / "encoders"
    places = [given, inside / given, settings.models_dir / given]
    if not HUB_ID.fullmatch(reference.id):  # a folder with its name from training, moved elsewhere
        places.append(inside / given.name)
    return next((place for place in places if any((place / name).is_file() for name in needed)), None)
