"""Sources: what is found in files, folders, globs, manifests and stores."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_engine.batch.listing import Listing
from ser_engine.batch.sources import Item, extra_columns, list_sources
from ser_engine.batch.storage import absolute, open_file, read_version
from ser_engine.errors import InvalidAudio, InvalidSettings, SerError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with four recordings, two of them deeper, and hidden files."""
    for name in ("b.wav", "a.wav", "deeper/c.wav", "deeper/d.mp3", ".hidden.wav", ".git/e.wav"):
        (tmp_path / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "calls" / name).write_bytes(b"sound of " + name.encode())
    return tmp_path / "calls"


def names(*sources: object) -> list[str]:
    """Return the last parts of the addresses in the sources."""
    return [item.file.rpartition("/")[2] for item in listed(*sources)]


def listed(*sources: object) -> list[Item]:
    return list(list_sources([absolute(str(source)) for source in sources]))


def test_a_folder_is_searched_without_hidden_files(folder: Path) -> None:
    assert names(folder) == ["a.wav", "b.wav", "c.wav", "d.mp3"]
    (first, *_) = listed(folder)
    state = (folder / "a.wav").stat()
    assert (first.version.size, first.version.modified) == (state.st_size, state.st_mtime)
    assert not first.given


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("*.wav", ["a.wav", "b.wav"]), ("**/*.wav", ["a.wav", "b.wav", "c.wav"]), ("*/?.mp3", ["d.mp3"])],
)
def test_globs(folder: Path, pattern: str, found: list[str]) -> None:
    assert names(folder / pattern) == found


def test_a_name_with_brackets_is_a_name_where_there_is_such_a_file(folder: Path) -> None:
    (folder / "call[1].wav").write_bytes(b"x")
    assert names(folder / "call[1].wav") == ["call[1].wav"]


def test_a_missing_file_is_kept_for_its_row(tmp_path: Path) -> None:
    (item,) = listed(tmp_path / "gone.wav")
    assert item.given and item.file == str(tmp_path / "gone.wav")


def test_paths_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert absolute("a.wav") == str(folder / "a.wav")
    assert absolute("zip://*.wav::a.zip") == f"zip://*.wav::{folder / 'a.zip'}"
    assert absolute("s3://bucket/a.wav") == "s3://bucket/a.wav"


def test_csv_manifests_pass_their_columns_through(folder: Path) -> None:
    manifest = folder / "calls.CSV"
    manifest.write_text("path;team;time\na.wav;sales;2026-03-02T09:30\ndeeper/c.wav;;\n", encoding="utf-8")
    assert extra_columns([str(manifest)]) == ("team", "time")
    first, second = listed(manifest)
    assert first.file == str(folder / "a.wav") and first.given
    assert dict(first.extra) == {"team": "sales", "time": "2026-03-02T09:30"}
    assert not second.extra


def test_jsonl_and_parquet_manifests(folder: Path) -> None:
    rows = [{"path": "a.wav", "agent": 7}, {"path": "s3://bucket/b.wav", "tags": ["x"]}]
    lines = folder / "calls.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert extra_columns([str(lines)]) == ("agent", "tags")
    assert [item.file for item in listed(lines)] == [str(folder / "a.wav"), "s3://bucket/b.wav"]
    assert [dict(item.extra) for item in listed(lines)] == [{"agent": "7"}, {"tags": '["x"]'}]
    table = folder / "calls.parquet"
    pq.write_table(pa.table({"path": ["a.wav", "b.wav"], "score": [1.5, None]}), table)
    assert extra_columns([str(table)]) == ("score",)
    assert [dict(item.extra) for item in listed(table)] == [{"score": "1.5"}, {}]


def test_a_manifest_without_paths_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text("file,team\na.wav,sales\n")
    with pytest.raises(SerError, match="path"):
        extra_columns([str(manifest)])
    manifest.write_text("path,team\n,sales\n")
    with pytest.raises(SerError, match="line 2: there is no path"):
        listed(manifest)


def test_recordings_in_a_zip_archive(folder: Path) -> None:
    archive = folder / "calls.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner/a.wav", b"zipped")
        file.writestr("notes.txt", b"x")
    (item,) = listed(f"zip://**/*.wav::{archive}")
    assert item.file == f"zip://inner/a.wav::{archive}"
    assert item.version.size == 6
    with open_file(item.file, 100) as copy:
        assert not isinstance(copy, Path) and copy.read() == b"zipped"
    assert read_version(item.file) == item.version
    whole = sorted(item.file for item in listed(f"zip://::{archive}"))
    assert whole == [f"zip://inner/a.wav::{archive}", f"zip://notes.txt::{archive}"]


def test_stores_without_folders() -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/batch/a.wav": b"1", "/batch/deeper/b.wav": b"22", "/batch/.hidden/c.wav": b"3"})
    assert sorted(names("memory://batch")) == ["a.wav", "b.wav"]
    assert names("memory://batch/*.wav") == ["a.wav"]
    (only,) = listed("memory://batch/deeper/b.wav")
    assert only.given
    with open_file(only.file, 100) as copy:
        assert not isinstance(copy, Path) and copy.read() == b"22"
    with pytest.raises(InvalidAudio, match="There is no file"), open_file("memory://batch/gone.wav", 100):
        pass


class Plain(SimpleHTTPRequestHandler):
    """A web server that knows no ranges."""

    def log_message(self, *_: object) -> None:
        pass


def test_a_recording_on_a_web_server(folder: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/deeper/c.wav"
        (item,) = listed(address)
        assert item.given
        with open_file(item.file, 100) as copy:
            assert not isinstance(copy, Path) and copy.read() == b"sound of deeper/c.wav"
        with open_file(item.file, 5) as copy:
            assert not isinstance(copy, Path) and len(copy.read()) > 5
        with pytest.raises(InvalidAudio, match="There is no file"), open_file(f"{address}.gone", 100):
            pass
        server.shutdown()


def test_a_store_without_its_package_is_named() -> None:
    with pytest.raises(SerError, match=r"Addresses such as dropbox:// need another package"):
        listed("dropbox://calls")


def test_passwords_in_addresses_and_unknown_addresses_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="environment"):
        absolute("ftp://me:secret@host/calls")
    with pytest.raises(SerError, match=r"nosuch://.* is no address"):
        listed("nosuch://calls")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "deeper").chmod(0)
    try:
        with pytest.raises(SerError, match=r"cannot be listed \(Permission denied\)"):
            listed(folder)
    finally:
        (folder / "deeper").chmod(0o755)


def test_every_recording_is_listed_once(folder: Path) -> None:
    with Listing([str(folder), str(folder / "*.wav"), str(folder / "a.wav")]) as listing:
        found = [item.file for item in listing if item is not None]
    assert len(found) == len(set(found)) == 4
    assert (listing.total, listing.repeated) == (4, 3)


def test_a_long_list_is_read_while_it_is_written(tmp_path: Path) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text("path\n" + "".join(f"{number}.wav\n" for number in range(3000)))
    with Listing([str(manifest)]) as listing:
        found = [item.file for item in listing if item is not None]
    assert found == [str(tmp_path / f"{number}.wav") for number in range(3000)]


def test_an_error_of_the_list_comes_after_what_was_found(folder: Path) -> None:
    with Listing([str(folder), "nosuch://calls"]) as listing:
        found = iter(listing)
        assert len(list(islice((item for item in found if item is not None), 4))) == 4
        with pytest.raises(SerError, match="nosuch"):
            list(found)
