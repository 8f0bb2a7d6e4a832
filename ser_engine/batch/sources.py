"""List the sources of a job one recording at a time: files, folders, globs, manifests, any address of fsspec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Item:
    """A recording that was found.

    `file` is its address; `size`, `modified` (seconds since 1970) and `etag` are None where its store does not say.
    `given` is whether it was named itself, so that it is no file of a folder that may be skipped. `extra` are the
    further columns of its manifest.
    """

    file: str
    size: int | None = None
    modified: float | None = None
    etag: str | None = None
    given: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


def absolute(source: str) -> str:
    """Return a source as it is kept in the plan: local paths are absolute."""
    raise NotImplementedError


def extra_columns(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the further columns of all manifests among the sources."""
    raise NotImplementedError


def list_sources(sources: Sequence[str]) -> Iterator[Item]:
    """Yield the recordings of all sources, each as it is found."""
    raise NotImplementedError
