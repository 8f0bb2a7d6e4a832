"""The output: exactly one row a recording, whatever happens to the process or the disk."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from ser_engine.batch.output import Output, committed, is_locked, open_output
from ser_engine.batch.plan import Plan
from ser_engine.batch.sources import Item
from ser_engine.batch.storage import Version
from ser_engine.errors import InvalidSettings, SerError
from tests.ser_engine.batch.archive import commit_rows, outcome, plan_of, write_archive

KILLS = 20
RECORDINGS = 400
COMMITTING = (
    "from pathlib import Path; from tests.ser_engine.batch.archive import commit_rows; commit_rows(Path({!r}), {})"
)


def commit(out: Path, before: str = "", every: int = 3) -> subprocess.CompletedProcess[str]:
    """Commit rows in another process."""
    code = before + COMMITTING.format(str(out), f"{RECORDINGS}, {every}")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def files_of(out: Path) -> list[str]:
    return sorted(pl.read_parquet(out / "recordings" / "*.parquet")["file"].to_list())


def test_three_libraries_read_the_same(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out", *(outcome(number) for number in range(40)))
    frame = pd.read_parquet(out / "recordings")
    table = pl.read_parquet(out / "recordings" / "*.parquet")
    with duckdb.connect() as sql:
        rows = sql.sql(f"select file, label, probabilities.angry, team from '{out}/recordings/*.parquet'").fetchall()
        joined = sql.sql(
            f"select count(*) from '{out}/segments/*.parquet' s join '{out}/recordings/*.parquet' r using (file)"
        ).fetchall()
    assert len(frame) == len(table) == len(rows) == 40
    assert frame["file"].tolist() == table["file"].to_list() == [row[0] for row in rows]
    assert table["probabilities"].struct.field("angry").to_list() == [row[2] for row in rows]
    assert frame["team"].tolist() == [row[3] for row in rows]
    assert joined[0][0] == len(pd.read_parquet(out / "segments")) > 100
    assert table.filter(pl.col("error").is_not_null())["label"].null_count() == len(
        table.filter(pl.col("error").is_not_null())
    )


def test_columns_of_manifests_never_hide_ours(tmp_path: Path) -> None:
    made = replace(outcome(0), row={**(outcome(0).row or {}), "extra": {"language": "German", "agent": "7"}})
    out = write_archive(tmp_path / "out", made, columns=("language", "agent"))
    (row,) = open_output(out).recordings.to_table().to_pylist()
    assert (row["language"], row["manifest_language"], row["agent"]) == ("en", "German", "7")


def test_an_output_without_parts_can_be_read(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out")
    assert open_output(out).recordings.count_rows() == open_output(out).segments.count_rows() == 0
    with pytest.raises(InvalidSettings, match="is not the output of ser batch"):
        open_output(tmp_path)


def test_twenty_kills_lose_no_row_and_repeat_none(tmp_path: Path) -> None:
    out, rng, parts = tmp_path / "out", random.Random(0), 0
    # Processes that are forked from one that has loaded everything, where the system can.
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    context.set_forkserver_preload(["tests.ser_engine.batch.archive", "pyarrow.parquet"])
    for _ in range(KILLS):
        process = context.Process(target=commit_rows, args=(out, RECORDINGS))
        process.start()
        parts += rng.randrange(6)
        while len(list(out.glob("recordings/part-*"))) < parts and process.is_alive():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.join()
        if not (out / "_plan.json").exists():
            continue
        if not list(out.glob("recordings/part-*")):
            continue
        named = open_output(out).segments.to_table(["file"])["file"].unique().to_pylist()
        assert set(named) <= set(files_of(out) if named else ())
    assert parts > KILLS and len(files_of(out)) < RECORDINGS, "the kills came too late"
    assert commit(out).returncode == 0
    assert files_of(out) == [outcome(number).file for number in range(RECORDINGS)]
    segments = pl.read_parquet(out / "segments" / "*.parquet")
    assert (
        segments.height
        == segments.unique(["file", "number"]).height
        == sum(len(outcome(n).segments) for n in range(RECORDINGS))
    )
    assert not list(out.rglob(".part*"))


def test_what_was_not_committed_is_removed(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out", outcome(0))
    (out / "segments" / "part-000001.parquet").write_bytes((out / "segments" / "part-000000.parquet").read_bytes())
    (out / "recordings" / ".part-000001.parquet.1-2.part").write_bytes(b"PAR1")
    assert open_output(out).segments.count_rows() == len(outcome(0).segments)
    with Output(out, plan_of(out), resume=True):
        assert len(list(out.rglob("*part-*"))) == 2


def test_a_second_run_is_refused_while_the_first_one_writes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Output(out, plan_of(out)):
        assert is_locked(out)
        second = commit(out)
        assert second.returncode == 1 and "Another run is writing to" in second.stderr.splitlines()[-1]
        with pytest.raises(InvalidSettings, match="Another run is writing"), Output(out, plan_of(out), resume=True):
            pass
    assert not is_locked(out)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"settings": {"model": "", "transcribe": False}}, r"other settings \(transcribe\)"),
        ({"models": {"a-model": "1" * 64}}, r"other settings \(the model a-model\)"),
        ({"columns": ()}, "the columns of the manifests"),
    ],
)
def test_another_plan_is_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    out = write_archive(tmp_path / "out", outcome(0))
    with pytest.raises(InvalidSettings, match=sentence), Output(out, replace(plan_of(out), **change), resume=True):  # type: ignore[arg-type]
        pass


def test_results_are_never_written_over(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out", outcome(0))
    with pytest.raises(InvalidSettings, match="--resume continues"), Output(out, plan_of(out)):
        pass
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    with pytest.raises(InvalidSettings, match="is not empty"), Output(tmp_path / "notes", plan_of(out), resume=True):
        pass
    with pytest.raises(InvalidSettings, match="is a file"), Output(tmp_path / "notes" / "mine.txt", plan_of(out)):
        pass


def known(plan: Plan, out: Path, item: Item) -> tuple[bool, int]:
    """Return whether a recording has a row, and how many were found to have changed."""
    with Output(out, plan, resume=True) as output:
        return output.has(item), output.changed


def test_a_recording_that_has_changed_keeps_its_row_and_is_counted(tmp_path: Path) -> None:
    made = outcome(0)
    out = write_archive(tmp_path / "out", made)
    assert made.row is not None
    same = Version(made.row["size_bytes"], made.row["modified"] / 1e6)
    plan = plan_of(out)
    assert known(plan, out, Item(made.file, same)) == (True, 0)
    assert known(plan, out, Item(made.file)) == (True, 0)
    assert known(plan, out, Item(made.file, replace(same, size=7))) == (True, 1)
    assert "has changed since it was analyzed" in (out / "_log.txt").read_text()
    assert known(plan, out, Item("/calls/new.wav", same)) == (False, 0)


def test_errors_are_tried_again_where_that_is_asked_for(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out", *(outcome(number) for number in range(32)))
    with Output(out, plan_of(out), resume=True) as output:
        assert output.failed == 2
        assert output.has(Item(outcome(16).file))
    with Output(out, plan_of(out), resume=True, retry_errors=True) as output:
        assert output.failed == 0
        assert not output.has(Item(outcome(16).file))
        assert output.has(Item(outcome(15).file))
        output.add(outcome(16, sha256="now", error=None, error_kind=None))
        output.commit()
    files = files_of(out)
    assert len(files) == len(set(files)) == 31


def test_files_that_are_no_recordings_are_not_read_again(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out", outcome(0), replace(outcome(1), row=None, segments=()))
    with Output(out, plan_of(out), resume=True) as output:
        assert output.has(Item(outcome(1).file))
        assert (output.skipped, output.earlier) == (1, 0)
    assert open_output(out).recordings.count_rows() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of a process")
def test_a_full_disk_gives_one_sentence_and_an_output_that_can_be_continued(tmp_path: Path) -> None:
    out = tmp_path / "out"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
    assert commit(out, every=300).returncode == 0 and (out / "segments" / "part-000000.parquet").stat().st_size > 20000
    out = tmp_path / "full"
    done = commit(out, limit, every=300)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "There is no space left in" in last and last.endswith("continue with --resume.")
    assert not list(out.rglob(".part*"))
    assert commit(out).returncode == 0
    assert files_of(out) == [outcome(number).file for number in range(RECORDINGS)]


def test_parts_are_compressed_and_named_by_their_number(tmp_path: Path) -> None:
    out = write_archive(tmp_path / "out", outcome(0))
    assert committed(out) == ["part-000000.parquet"]
    column = pq.ParquetFile(out / "recordings" / "part-000000.parquet").metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_gives_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SerError, match="cannot be written"), Output(tmp_path / "out", plan_of(tmp_path)):
        pass
