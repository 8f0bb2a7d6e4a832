"""Models of the Hugging Face hub, named `hf:<id or folder>[@revision]`: found in its cache, or downloaded.

Downloads happen only where the settings permit. Files in the hub's cache are used without asking the hub, so that the
same name means the same model until the cache is cleared or a revision is named.
"""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.download import Progress
from ser_engine.models.store import CONFIG
from ser_engine.settings import Settings

PREFIX = "hf:"
PREPROCESSOR = "preprocessor_config.json"
_DESCRIPTION = (CONFIG, PREPROCESSOR)
_ELSEWHERE = "*/*"
"""Subfolders, which hold the same model for other libraries."""
SAFE = ("model*.safetensors", "model.safetensors.index.json")
OLD = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
"""Weights of models from before 2023; requested only where a model has no safetensors."""

_DOWNLOADING = threading.Lock()
_downloading = ""
_NEWEST: dict[tuple[str, str, str], str] = {}
"""Commit by hub, cache and id: all parts of a model are of one commit, even if a newer one comes in between."""


def downloading() -> str:
    """Return the model that is being downloaded at this moment, as it is named after "hf:"; empty for none."""
    return _downloading


@dataclass(frozen=True)
class Reference:
    """A model as people write it: a hub id or a folder, and for a hub id a branch, tag or commit."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def find_hub_model(text: str, settings: Settings, fetch: bool = True, progress: Progress | None = None) -> Path:
    """Return the folder of the model "hf:...", downloaded if need be, where `fetch` and the settings permit.

    A folder of `settings.models_dir` takes precedence over a path, and that over an id. `progress` is called with the
    bytes of a download.
    Raise WeightsUnavailable if there is no such model, or if it cannot be downloaded, or may not.
    """
    whole = text.removeprefix(PREFIX).strip()
    if not whole:
        raise WeightsUnavailable(f"{PREFIX} needs an id of the hub or a folder, such as {PREFIX}OWNER/NAME@REVISION.")
    if folder := _folder(whole, settings):  # its name may contain an @
        return folder
    name, at, revision = whole.rpartition("@")
    reference = Reference(name, revision) if at and name and revision else Reference(whole.rstrip("@"))
    if reference.revision and _folder(reference.name, settings):
        raise WeightsUnavailable(f"{reference.name} is a folder, which has no revision “{reference.revision}”.")
    if reference.name.startswith(("/", ".", "~")) or reference.name.count("/") > 1:
        raise WeightsUnavailable(f"There is no folder {reference.name}.")
    return cached_files(reference) or _fetched(reference, settings, fetch, progress)


def id_of(folder: Path) -> str:
    """Return the name of the model in a folder: OWNER/NAME@COMMIT in the hub's cache, else the folder's own.

    The cache's folders are models--OWNER--NAME/snapshots/COMMIT; seven digits of the commit distinguish it from others.
    """
    folder = folder.absolute()
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        name = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
        return f"{name}@{folder.name[:7]}"
    return folder.resolve().name


def _folder(name: str, settings: Settings) -> Path | None:
    places = (settings.models_dir / name, Path(name).expanduser())
    return next((place for place in places if place.is_dir()), None)


def newest_commit(id: str, settings: Settings) -> str:
    """Return the newest commit of a model, asked for once; without permission, the newest in the cache ("": none).

    Raise WeightsUnavailable if the hub does not answer, and no commit is in the cache.
    """
    from huggingface_hub import constants, snapshot_download

    key = (constants.ENDPOINT, str(constants.HF_HUB_CACHE), id)
    if key not in _NEWEST and settings.allow_download:
        _NEWEST[key] = _download(Reference(id), (CONFIG,), settings.download_timeout_s).name
    if key not in _NEWEST:
        try:
            return Path(snapshot_download(id, allow_patterns=[CONFIG], local_files_only=True)).name
        except OSError:  # never downloaded
            return ""
    return _NEWEST[key]


def cached_files(reference: Reference, description: Sequence[str] = _DESCRIPTION) -> Path | None:
    """Return the model's folder in the hub's cache if it is complete: what describes it, and weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    for weights in (SAFE, OLD):
        try:
            found = snapshot_download(
                reference.name,
                revision=reference.revision,
                allow_patterns=[*description, *weights],
                ignore_patterns=_ELSEWHERE,
                local_files_only=True,
            )
        except OSError:  # missing or incomplete, or the cache cannot be read
            continue
        except HFValidationError:
            raise WeightsUnavailable(
                f"“{reference.name}” is neither a folder nor an id of the hub, which looks like OWNER/NAME."
            ) from None
        if (Path(found) / CONFIG).is_file() and any(Path(found).glob(weights[0])):
            return Path(found)
    return None


def _fetched(reference: Reference, settings: Settings, fetch: bool, progress: Progress | None) -> Path:
    """Return a model, downloaded if that is permitted."""
    if not settings.allow_download:
        raise WeightsUnavailable(
            f"{reference} is not on this computer: set SER_ALLOW_DOWNLOAD=1 to have it downloaded, or give the path "
            "of a folder that holds it."
        )
    if not fetch:
        raise WeightsUnavailable(f"{reference} has not been downloaded from the hub yet.")
    return download_files(reference, _DESCRIPTION, settings, progress)


def download_files(
    reference: Reference, description: Sequence[str], settings: Settings, progress: Progress | None = None
) -> Path:
    """Download a model into the hub's cache: what describes it, and its weights, safetensors if it has them.

    Raise WeightsUnavailable, which says why, if it cannot be downloaded, or is no model of Transformers.
    """
    global _downloading
    with _DOWNLOADING:
        _downloading = str(reference)
        try:
            return _download_model(reference, description, settings, progress)
        finally:
            _downloading = ""


def _download_model(
    reference: Reference, description: Sequence[str], settings: Settings, progress: Progress | None
) -> Path:
    for weights in (SAFE, OLD):
        folder = _download(reference, (*description, *weights), settings.download_timeout_s, progress)
        if not (folder / CONFIG).is_file():
            raise WeightsUnavailable(f"{reference} of the hub is not a model of Transformers: it has no {CONFIG}.")
        if any(folder.glob(weights[0])):
            return folder
    raise WeightsUnavailable(f"{reference} of the hub has no weights that Transformers can read.")


def _download(
    reference: Reference, patterns: tuple[str, ...], timeout_s: float, progress: Progress | None = None
) -> Path:
    """Return the folder in the hub's cache to which the files were downloaded; existing ones are not fetched again."""
    from huggingface_hub import constants, errors, snapshot_download

    bars = _bars(progress or (lambda done, total: None))
    try:
        folder = snapshot_download(
            reference.name,
            revision=reference.revision,
            allow_patterns=list(patterns),
            ignore_patterns=_ELSEWHERE,
            etag_timeout=timeout_s,
            tqdm_class=bars,
        )
        bars.finish()
        return Path(folder)
    except errors.GatedRepoError:
        reason = "its owner gives it only to those who accept its terms there and log in with “hf auth login”"
    except errors.RepositoryNotFoundError:
        reason = "there is no such model, or it is private and “hf auth login” has not been run"
    except errors.RevisionNotFoundError:
        reason = f"it has no revision “{reference.revision}”"
    except errors.LocalEntryNotFoundError:
        reason = "the hub cannot be reached or does not answer; is this computer connected to the internet?"
        if constants.is_offline_mode():
            reason = "HF_HUB_OFFLINE forbids it"
    except OSError as error:
        full = error.errno == errno.ENOSPC
        reason = "the disk is full" if full else f"the transfer failed ({first_line(error)})"
    except Exception as error:  # of one of three libraries that carry the bytes, each with errors of its own
        reason = f"the transfer failed ({first_line(error)})"
    finally:
        bars.ended = True  # a bar that is thrown away later reports once more
    end = "" if reason.endswith("?") else "."
    raise WeightsUnavailable(f"{reference} could not be downloaded from the hub: {reason}{end}")


def _bars(progress: Progress) -> Any:
    """Return a class of bars that are not drawn, but report the bytes of all files; `finish` reports the end."""

    class Bars(tqdm):  # type: ignore[type-arg]
        done, whole, ended = 0, 0, False

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **(options | {"file": io.StringIO()}))

        def display(self, *_: Any, **__: Any) -> None:
            if self.unit == "B" and not Bars.ended:
                Bars.done, Bars.whole = max(Bars.done, int(self.n)), max(Bars.whole, int(self.total or 0))
                if Bars.whole:  # the end is not reached before the last file, of which nothing may be known yet
                    progress(Bars.done, max(Bars.whole, Bars.done + 1))

        @classmethod
        def finish(cls) -> None:
            if Bars.whole:
                progress(Bars.whole, Bars.whole)

    return Bars


def first_line(error: Exception) -> str:
    """Return the first line of another library's error, to stand in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
