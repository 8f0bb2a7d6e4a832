"""The output of a job: two datasets of Parquet files, in which a recording and its segments appear together.

OUT/recordings/part-000012.parquet and OUT/segments/part-000012.parquet hold the same recordings. Both are written under
names that no reader takes, the segments are renamed first and the recordings last, which is the commit. What a killed
run left behind is removed when the next one begins.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ser_engine.batch.listing import digest
from ser_engine.batch.plan import PLAN, Plan, read_plan
from ser_engine.batch.progress import PROGRESS, Progress
from ser_engine.batch.rows import Outcome
from ser_engine.batch.schema import recordings_schema, rename_columns, segments_schema
from ser_engine.batch.sources import Item
from ser_engine.batch.storage import storable
from ser_engine.errors import InvalidSettings, SerError
from ser_engine.io import atomic_write, write_json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads

RECORDINGS, SEGMENTS = "recordings", "segments"
LOCK, LOG = "_lock", "_log.txt"
PART_ROWS, PART_S = 1000, 60.0
"""A part is committed once it has so many recordings, or so many seconds after the latest one."""
SKIPPED = b"ser.skipped"
"""The entry of a part's metadata with the files that are no recordings, so that they are read once."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Datasets:
    """The results of a job so far; both datasets can be read while it runs."""

    plan: Plan
    recordings: pads.Dataset
    segments: pads.Dataset


def open_output(out: str | os.PathLike[str]) -> Datasets:
    """Open the results in an output folder, of which only what was committed is read.

    Raise InvalidSettings where it is not the output of a job.
    """
    import pyarrow.dataset as pads

    plan, folder = read_plan(out), Path(out)
    parts = committed(folder)
    recordings = [str(folder / RECORDINGS / name) for name in parts]
    segments = [str(folder / SEGMENTS / name) for name in parts]
    return Datasets(
        plan,
        pads.dataset(recordings, recordings_schema(plan.labels, plan.columns), "parquet"),
        pads.dataset(segments, segments_schema(plan.labels), "parquet"),
    )


def committed(folder: Path) -> list[str]:
    """Return the names of the parts that were committed, in their order."""
    return sorted(path.name for path in (folder / RECORDINGS).glob("part-*.parquet"))


def is_locked(out: str | os.PathLike[str]) -> bool:
    """Whether a run is writing to an output folder now."""
    from filelock import FileLock, Timeout

    path = Path(out) / LOCK
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


class Output:
    """The output folder of a run, which no other run can open meanwhile.

    Attributes
    ----------
    earlier : how many recordings had a row before this run
    skipped : how many files were found to be no recordings
    changed : how many recordings have changed since an earlier run
    """

    def __init__(self, out: Path, plan: Plan, resume: bool = False, retry_errors: bool = False) -> None:
        from filelock import FileLock

        self.folder, self.plan = out, plan
        self.earlier = self.failed = self.skipped = self.changed = 0
        self._resume, self._retry = resume, retry_errors
        self._lock = FileLock(out / LOCK, timeout=0)
        self._known: dict[bytes, int] = {}
        self._waiting: list[Outcome] = []
        self._next = 0
        self._latest = time.monotonic()

    def __enter__(self) -> Output:
        """Lock the folder, check its plan, remove what a killed run left behind, and read what has a row."""
        from filelock import Timeout

        try:
            fresh = self._check()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise InvalidSettings(
                f"Another run is writing to {self.folder}; wait for it or use another folder."
            ) from None
        except OSError as error:
            raise InvalidSettings(f"{self.folder} cannot be written ({error.strerror}).") from None
        try:
            if fresh:
                self.plan.write(self.folder)
            else:
                self._take_up()
        except OSError as error:
            self._lock.release()
            raise self._explain(error) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def has(self, item: Item) -> bool:
        """Whether a recording needs no further work, and count it."""
        known = self._known.get(digest(item.file))
        if known is None:
            return False
        if known == _SKIPPED:
            self.skipped += 1
            return True
        self.earlier += 1
        key = item.version.key
        if key is not None and known not in (_UNKNOWN, _fingerprint(key)):
            self.changed += 1
            self.log(f"{item.file} has changed since it was analyzed; its row is of what it was.")
        return True

    def add(self, outcome: Outcome) -> None:
        """Keep a recording's rows for the next part."""
        self._waiting.append(outcome)

    @property
    def due(self) -> bool:
        """Whether it is time to commit."""
        return len(self._waiting) >= PART_ROWS or (bool(self._waiting) and time.monotonic() - self._latest >= PART_S)

    def commit(self) -> None:
        """Write the rows that were added as a part of both datasets; raise SerError where there is no space."""
        self._latest = time.monotonic()
        if not self._waiting:
            return
        name = f"part-{self._next:06}.parquet"
        rows = [rename_columns(each.row, self.plan.columns) for each in self._waiting if each.row is not None]
        segments = [segment for each in self._waiting for segment in each.segments]
        skipped = [storable(each.file) for each in self._waiting if each.row is None]
        schema = recordings_schema(self.plan.labels, self.plan.columns)
        try:
            _write(self.folder / SEGMENTS / name, segments, segments_schema(self.plan.labels))
            _write(self.folder / RECORDINGS / name, rows, schema, {SKIPPED: json.dumps(skipped)} if skipped else {})
        except OSError as error:
            raise self._explain(error) from error
        self._next += 1
        self._waiting.clear()

    def log(self, sentence: str) -> None:
        """Add a line to the log; where that cannot be written, the work goes on."""
        with suppress(OSError), (self.folder / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {sentence}\n")

    def show(self, progress: Progress) -> None:
        """Write the progress for other processes."""
        with suppress(OSError):
            write_json(self.folder / PROGRESS, progress.to_dict())

    def _check(self) -> bool:
        """Return whether the folder is empty; raise InvalidSettings where this plan cannot be carried out in it."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InvalidSettings(f"{self.folder} is a file; the output is a folder.")
        if not (self.folder / PLAN).exists():
            own = (LOCK, f".{PLAN}")  # and what is left of a plan
            if self.folder.exists() and not all(path.name.startswith(own) for path in self.folder.iterdir()):
                raise InvalidSettings(
                    f"{self.folder} is not empty, but not the output of ser batch; use another folder."
                )
            return True
        if not self._resume:
            raise InvalidSettings(f"{self.folder} has results; --resume continues them, or use another folder.")
        if differences := read_plan(self.folder).differences(self.plan):
            named = ", ".join(differences)
            raise InvalidSettings(
                f"{self.folder} was begun with other settings ({named}); use those or another folder."
            )
        return False

    def _take_up(self) -> None:
        """Remove what a killed run left behind, and read which recordings have a row."""
        for path in (*self.folder.glob(".*.part"), *self.folder.glob("*/.*.part")):
            path.unlink()
        parts = committed(self.folder)
        for path in (self.folder / SEGMENTS).glob("part-*.parquet"):
            if path.name not in parts:
                path.unlink()
        for name in parts:
            self._read(self.folder / RECORDINGS / name)
        self._next = 1 + max((int(name[5:-8]) for name in parts), default=-1)
        plan = read_plan(self.folder)
        if plan != self.plan:  # other sources or versions
            self.plan.write(self.folder)

    def _read(self, path: Path) -> None:
        """Read which recordings a part has, without those that are to be tried again."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["file", "size_bytes", "modified", "etag", "error"])
        errors = table.num_rows - table["error"].null_count
        skipped = json.loads((table.schema.metadata or {}).get(SKIPPED, b"[]"))
        if errors and self._retry:
            # A recording with an error has no segments, so that its row is all there is of it.
            whole = pq.read_table(path)
            _write_table(path, whole.filter(pc.is_null(whole["error"])))
            table = table.filter(pc.is_null(table["error"]))
            errors = 0
        self.failed += errors
        for batch in table.drop_columns(["error"]).to_batches():
            for row in batch.set_column(2, "modified", batch["modified"].cast("int64")).to_pylist():
                key = (row["size_bytes"], row["modified"], row["etag"])
                known = _UNKNOWN if key == (None, None, None) else _fingerprint(key)
                self._known[digest(row["file"])] = known
        self._known |= {digest(file): _SKIPPED for file in skipped}

    def _explain(self, error: OSError) -> SerError:
        if error.errno in NO_SPACE:
            return SerError(
                f"There is no space left in {self.folder}. What was committed is safe: make space, then continue with "
                "--resume."
            )
        return SerError(f"{self.folder} cannot be written ({error.strerror or error}).")


_UNKNOWN, _SKIPPED = -1, -2


def _fingerprint(key: tuple[int | None, int | None, str | None]) -> int:
    """Return what stands for a version in memory."""
    return int.from_bytes(digest(repr(key))[:7], "big")


def _write(
    path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema, metadata: Mapping[bytes, str] = {}
) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(list(rows), schema.with_metadata({**metadata}) if metadata else schema)
    _write_table(path, table)


def _write_table(path: Path, table: pa.Table) -> None:
    """Write a file that is on the disk, and not only in the system's memory, before it has its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pa.BufferOutputStream()
    pq.write_table(table, data, compression="zstd")
    with atomic_write(path) as part, part.open("wb") as file:
        file.write(data.getvalue())
        file.flush()
        os.fsync(file.fileno())
