"""What the Batch page may read: dropped files, whatever their names, and nothing outside of the offered folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from ser_engine.batch.plan import PLAN
from ser_engine.errors import InvalidSettings
from ui.batch.sources import list_folders, resolve_inside, safe_name, save_uploads


@dataclass
class Dropped:
    name: str
    data: bytes

    def getbuffer(self) -> memoryview:
        return memoryview(self.data)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("call.wav", "call.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\calls\\one.mp3", "one.mp3"),
        ("call ☎️ 1.wav", "call ☎️ 1.wav"),
        ("..", "recording"),
        ("", "recording"),
        ("a\0b.wav", "ab.wav"),
    ],
)
def test_a_name_stays_within_its_folder(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_is_shortened_before_its_ending() -> None:
    name = safe_name("é" * 300 + ".opus")
    assert name.endswith("é.opus") and len(name.encode()) <= 150


def test_dropped_files_of_the_same_name_are_all_listed(tmp_path: Path) -> None:
    dropped = [Dropped("memo.wav", b"one"), Dropped("memo.wav", b"two"), Dropped("../x.txt", b"three")]
    manifest = save_uploads(dropped, tmp_path / "uploads")
    paths = [Path(json.loads(line)["path"]) for line in manifest.read_text().splitlines()]
    assert [path.read_bytes() for path in paths] == [b"one", b"two", b"three"]
    assert [path.name for path in paths] == ["memo.wav", "memo.wav", "x.txt"]
    assert all(path.is_relative_to(tmp_path / "uploads") for path in paths)


def test_folders_are_listed_without_hidden_ones_links_and_results(tmp_path: Path) -> None:
    for name in ("root/calls/2026", "root/.hidden", "root/done/recordings", "outside/secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/done" / PLAN).write_text("{}")
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    root = tmp_path / "root"
    assert list_folders(root) == ([".", "calls", "calls/2026"], ["done"])


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "calls").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (root / "calls/link").symlink_to(tmp_path / "secret")
    assert resolve_inside(root, "calls") == (root / "calls").resolve()
    for name in ("..", "../secret", "calls/link", "calls/../../secret", str(tmp_path / "secret")):
        with pytest.raises(InvalidSettings, match="lies outside"):
            resolve_inside(root, name)
    with pytest.raises(InvalidSettings, match="not there any more"):
        resolve_inside(root, "gone")
