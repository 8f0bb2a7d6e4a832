"""List the sources of a job one recording at a time: files, folders, globs, manifests, any address of fsspec."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ser_engine.batch.storage import (
    UNKNOWN,
    Version,
    absolute,
    address_of,
    explain,
    find_filesystem,
    is_remote,
    version_of,
)
from ser_engine.data.manifest import read_records
from ser_engine.errors import CorpusError, InvalidSettings, SerError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MANIFESTS = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
PATH = "path"
"""The column of a manifest that every row has."""
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Item:
    """A recording that was found.

    `file` is its address, `version` that of its listing. `given` is whether it was named itself, so that it is no file
    of a folder that may be skipped. `extra` are the further columns of its manifest.
    """

    file: str
    version: Version = UNKNOWN
    given: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


def list_sources(sources: Sequence[str]) -> Iterator[Item]:
    """Yield the recordings of all sources, each as it is found; hidden files are left out.

    `sources` are as of `Plan`. A file that is not there is yielded as well. Raise SerError where a source cannot be
    listed.
    """
    for source in sources:
        try:
            if is_manifest(source):
                yield from _list_manifest(source)
            elif is_remote(source):
                yield from _list_remote(source)
            else:
                yield from _list_local(source)
        except SerError:
            raise
        except Exception as error:  # each store has errors of its own
            raise SerError(f"“{source}” cannot be listed ({explain(error)}).") from error


def is_manifest(source: str) -> bool:
    """Whether a source is a table of recordings by its name; a glob of tables is not."""
    return PurePosixPath(source.partition("::")[0]).suffix.lower() in MANIFESTS and not _MAGIC.search(source)


def extra_columns(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the further columns of all manifests among the sources, in their order.

    Raise InvalidSettings where a manifest cannot be read or has no column "path".
    """
    names: dict[str, None] = {}
    for source in filter(is_manifest, sources):
        for name in _columns(source):
            names.setdefault(name)
    names.pop(PATH, None)
    return tuple(names)


def _columns(manifest: str) -> list[str]:
    with _local_copy(manifest) as path:
        if path.suffix == ".parquet":
            from pyarrow.parquet import read_schema

            names = list(read_schema(path).names)
        else:
            lines = path.suffix == ".jsonl"  # each line may have columns of its own
            names = []
            for _, row in read_records(path, (PATH,)):
                if not isinstance(row, CorpusError):
                    names += [name for name in row if name not in names]
                    if not lines:
                        break
            if not names and path.suffix != ".jsonl":
                return []
    if names and PATH not in names:
        raise InvalidSettings(f"The manifest “{manifest}” has no column “{PATH}”.")
    return names


def _list_manifest(manifest: str) -> Iterator[Item]:
    first, chained, rest = manifest.partition("::")
    folder = first.rpartition("/" if is_remote(manifest) else os.sep)[0]
    with _local_copy(manifest) as path:
        for line, row in _rows(path):
            if isinstance(row, CorpusError):
                raise SerError(str(row).replace(str(path), manifest))
            named = str(row.pop(PATH, None) or "").strip()
            if not named:
                raise SerError(f"{manifest}, line {line}: there is no {PATH}.")
            relative = not is_remote(named) and not Path(named).is_absolute()
            file = f"{folder}/{named}{chained}{rest}" if relative else named
            extra = {name: text for name, value in row.items() if (text := _text(value)) is not None}
            yield Item(absolute(file), given=True, extra=extra)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | CorpusError]]:
    if path.suffix != ".parquet":
        yield from read_records(path, (PATH,))
        return
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as table:
        rows = (row for batch in table.iter_batches(1024) for row in batch.to_pylist())
        yield from enumerate(rows, start=1)


def _text(value: Any) -> str | None:
    """Return a value of a manifest as text, or None for an empty one."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, date):  # datetime is one, too
        return value.isoformat()
    return None if value is None else str(value).strip() or None


@contextmanager
def _local_copy(manifest: str) -> Iterator[Path]:
    """Yield the path of a manifest, or that of a copy of one elsewhere; the suffix is in small letters."""
    suffix = PurePosixPath(manifest.partition("::")[0]).suffix
    if not is_remote(manifest) and suffix == suffix.lower():
        yield Path(manifest)
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"manifest{suffix.lower()}"
        if is_remote(manifest):
            filesystem, path = find_filesystem(manifest)
            filesystem.get_file(path, str(copy))
        else:
            shutil.copyfile(manifest, copy)
        yield copy


def _list_local(source: str) -> Iterator[Item]:
    path = Path(source)
    if path.is_dir():
        yield from _walk(source)
    elif path.exists() or not _MAGIC.search(source):
        yield Item(source, given=True)
    else:
        matches = _matcher(source)
        yield from (item for item in _walk(_root(source, os.sep)) if matches(item.file.replace(os.sep, "/")))


def _walk(folder: str) -> Iterator[Item]:
    """Yield the files in a folder and below it, sorted; links to files are followed, those to folders are not."""
    with os.scandir(folder) as entries:
        own = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in own:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_file():
            state = entry.stat()
            yield Item(entry.path, Version(state.st_size, state.st_mtime))


def _list_remote(source: str) -> Iterator[Item]:
    filesystem, path = find_filesystem(source)
    pattern = bool(_MAGIC.search(path)) and not source.startswith("http")  # a ? begins a query there
    if source.startswith("http") or not (pattern or filesystem.isdir(path)):
        yield Item(source, given=True)
        return
    matches = _matcher(path) if pattern else None
    root = _root(path, "/") if pattern else path
    for name, info in _walk_remote(filesystem, root.rstrip("/")):
        hidden = any(part.startswith(".") for part in name[len(root) :].split("/"))
        if not hidden and (matches is None or matches(name)):
            yield Item(address_of(filesystem, name, source), version_of(info))


def _walk_remote(filesystem: AbstractFileSystem, root: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each file and what its file system says of it, one folder at a time."""
    for _, _, files in filesystem.walk(root, detail=True, on_error="raise"):
        for info in files.values():
            if info["name"].rstrip("/") != root:  # some stores have an empty object for a folder
                yield info["name"], info


def _root(pattern: str, separator: str) -> str:
    """Return the folder below which a glob has to be searched."""
    match = _MAGIC.search(pattern)
    return pattern[: match.start() if match else None].rpartition(separator)[0] or separator


def _matcher(pattern: str) -> Any:
    from fsspec.utils import glob_translate

    return re.compile(glob_translate(pattern.replace(os.sep, "/"))).match
