"""Downloads from a server that misbehaves on purpose."""

import ast
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

import ser_engine
from ser_engine.errors import WeightsUnavailable
from ser_engine.models.download import download
from tests.ser_engine.models.download_server import Handler, Server

ENGINE = Path(ser_engine.__file__).parent


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a" / "new folder" / "tiny.pt"


def part_of(target: Path) -> Path:
    return target.with_name("tiny.pt.part")


def fails(server: Server, target: Path, sentence: str, url: str = "", timeout_s: float = 5.0) -> None:
    """Expect that a download fails with one sentence that names file and server, and leaves no target."""
    url = url or f"{server.address}/x/tiny.pt"
    with pytest.raises(WeightsUnavailable, match=sentence) as caught:
        download(url, target, server.checksum, timeout_s)
    text = str(caught.value)
    assert "tiny.pt" in text
    assert text.endswith((".", "?"))
    assert "\n" not in text
    assert not target.exists()


@pytest.mark.parametrize("way", ["well", "no length"])
def test_a_download_arrives_whole_and_tells_of_its_progress(server, target, way):
    server.way = way
    told: list[tuple[int, int]] = []
    download(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0, lambda *now: told.append(now))
    assert target.read_bytes() == server.body
    assert [path.name for path in target.parent.iterdir()] == ["tiny.pt"]
    done = [now[0] for now in told]
    assert done == sorted(done)
    assert {total for _, total in told} == {len(server.body) if way == "well" else 0}
    if way == "well":
        assert done[-1] == len(server.body)


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(server, target):
    with pytest.raises(WeightsUnavailable, match="checksum"):
        download(f"{server.address}/x/tiny.pt", target, "0" * 64, 5.0)
    assert list(target.parent.iterdir()) == []


def test_a_file_that_is_not_there_is_said(server, target):
    server.way = "404"
    fails(server, target, r"127\.0\.0\.1:\d+: the server answered 404")


@pytest.mark.parametrize("way", ["silent", "stalls"])
def test_a_server_that_falls_silent_is_given_up(server, target, way):
    server.way = way
    started = time.monotonic()
    fails(server, target, "nothing came for 0.3 seconds", timeout_s=0.3)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("way", ["stalls", "breaks off"])
def test_the_next_try_goes_on_where_the_last_one_ended(server, target, way):
    server.way = way
    fails(server, target, "the next try goes on", timeout_s=0.3)
    half = len(server.body) // 2
    assert part_of(target).stat().st_size == half
    server.way = "well"
    told: list[tuple[int, int]] = []
    download(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0, lambda *now: told.append(now))
    assert target.read_bytes() == server.body
    assert server.ranges == [None, f"bytes={half}-"]
    assert all(done > half and total == len(server.body) for done, total in told)


def test_a_server_that_cannot_go_on_begins_anew(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(server.body[:1000])
    server.way = "no ranges"
    download(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)
    assert server.ranges == ["bytes=1000-"]
    assert target.read_bytes() == server.body


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_part_as_long_as_the_file_but_wrong_is_fetched_anew(server, target, extra):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(bytes(len(server.body)) + extra)
    download(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)
    assert target.read_bytes() == server.body


def test_a_part_that_is_whole_needs_no_server(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(server.body)
    download(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)
    assert target.read_bytes() == server.body
    assert server.ranges == []


def test_a_refused_connection_is_said(server, target):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    fails(server, target, "refused the connection", url=f"http://127.0.0.1:{port}/x/tiny.pt")


def test_a_server_that_nobody_knows_is_said(server, target):
    fails(server, target, "name is unknown; is this computer connected", url="http://weights.invalid/x/tiny.pt")


def test_a_disk_that_is_too_small_is_said_before_it_is_filled(server, target):
    server.way = "endless"
    fails(server, target, r"it needs 100000000000 MB more in .*new folder, where \d+ MB are free")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk that is always full")
def test_a_disk_that_is_full_is_said(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).symlink_to("/dev/full")
    fails(server, target, "could not be written: the disk is full")


def test_a_folder_that_cannot_be_made_is_said(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    fails(server, tmp_path / "file" / "tiny.pt", "could not be written: (Not a directory|File exists)")


def test_two_at_once_fetch_the_file_once(server, target):
    def fetch(_: int) -> None:
        download(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fetch, range(2)))
    assert target.read_bytes() == server.body
    assert len(server.ranges) == 1


def test_no_other_file_of_the_engine_can_open_a_connection():
    network = {"socket", "ssl", "urllib.request", "http.client", "requests", "httpx", "aiohttp", "urllib3", "ftplib"}
    network |= {"huggingface_hub", "torch.hub"}
    # The service and its client are for connections.
    for file in set(ENGINE.rglob("*.py")) - set((ENGINE / "service").iterdir()):
        imported: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
        # Both ask the Hugging Face hub, by way of that hub's own library alone.
        hub = {"huggingface_hub"}
        allowed = {"download.py": network, "hub_files.py": hub, "pyannote_pipeline.py": hub}.get(file.name, set())
        assert not imported & (network - allowed), file
