"""Recordings in S3: moto's server, which speaks S3's own protocol over HTTP, behind a gate that fails now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import numpy as np
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from ser_engine.batch import storage
from ser_engine.batch.sources import list_sources
from ser_engine.batch.storage import find_filesystem, open_file, read_version
from ser_engine.batch.worker import decode_item
from ser_engine.errors import InvalidAudio, SerError
from ser_engine.settings import Settings
from tests.speech import encode, speech, speech_wav

BUCKET = "calls"


class Gate:
    """Passes requests on to the server, notes them, and answers some with S3's word for a server that is too busy."""

    def __init__(self, server: Callable[..., Iterable[bytes]]) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.busy = 0
        self._server = server

    def __call__(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_RANGE", "")
        self.requests.append(request)
        if self.busy and request[0] == "GET":
            self.busy -= 1
            respond("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
        return self._server(environ, respond)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Gate, str]]:
    """A gate and its address."""
    gate = Gate(DomainDispatcherApplication(create_backend_app))
    web = make_server("127.0.0.1", 0, gate, threaded=True)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield gate, f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    thread.join()


@pytest.fixture
def store(server: tuple[Gate, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Gate, Any]]:
    """The gate, and a client of the store; credentials and address are in the environment."""
    gate, address = server
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address, "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield gate, client
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    gate.busy = 0


def put(client: Any, key: str, data: bytes) -> None:
    client.put_object(Bucket=BUCKET, Key=key, Body=data)


def test_folders_and_globs_are_listed_with_versions(store: tuple[Gate, Any]) -> None:
    _, client = store
    for key in ("2026/a.wav", "2026/deeper/b.wav", "2026/.hidden/c.wav", "2025/d.wav", "2026/"):
        put(client, key, b"" if key.endswith("/") else b"sound")
    found = {item.file: item.version for item in list_sources([f"s3://{BUCKET}/2026"])}
    assert sorted(found) == [f"s3://{BUCKET}/2026/a.wav", f"s3://{BUCKET}/2026/deeper/b.wav"]
    assert [item.file for item in list_sources([f"s3://{BUCKET}/*/*.wav"])] == [
        f"s3://{BUCKET}/2025/d.wav", f"s3://{BUCKET}/2026/a.wav",
    ]  # fmt: skip
    address = f"s3://{BUCKET}/2026/a.wav"
    version = found[address]
    assert version.size == 5 and version.modified and version.etag
    assert read_version(address).key == version.key
    put(client, "2026/a.wav", b"other")
    assert read_version(address).key != version.key


def test_a_recording_is_read_in_parts_side_by_side(
    store: tuple[Gate, Any], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    gate, client = store
    monkeypatch.setattr(storage, "BLOCK", 50_000)
    data = encode(np.tile(speech(), 4))
    put(client, "long.wav", data)
    gate.requests.clear()
    with open_file(f"s3://{BUCKET}/long.wav", len(data)) as copy:
        assert not isinstance(copy, Path) and copy.read() == data
    ranges = [each for method, path, each in gate.requests if method == "GET" and "long.wav" in path]
    assert len(ranges) == -(-len(data) // 50_000) and all(each.startswith("bytes=") for each in ranges)
    (item,) = list_sources([f"s3://{BUCKET}/long.wav"])
    decoded = decode_item(item, settings)
    assert decoded.seconds == pytest.approx(4 * len(speech()) / 16_000) and decoded.version.etag


def test_a_busy_store_is_asked_again(store: tuple[Gate, Any], settings: Settings) -> None:
    gate, client = store
    put(client, "a.wav", speech_wav())
    (item,) = list_sources([f"s3://{BUCKET}/a.wav"])
    gate.busy = 3
    assert decode_item(item, settings).seconds > 1
    assert gate.busy == 0


def test_more_than_the_limit_is_not_copied(store: tuple[Gate, Any]) -> None:
    _, client = store
    put(client, "a.wav", b"x" * 1000)
    with open_file(f"s3://{BUCKET}/a.wav", 99) as copy:
        assert not isinstance(copy, Path) and len(copy.read()) == 100


def test_what_is_not_there_and_what_may_not_be_read_are_sentences(
    store: tuple[Gate, Any], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    (item,) = list_sources([f"s3://{BUCKET}/gone.wav"])
    error = decode_item(item, settings).sound
    assert isinstance(error, InvalidAudio) and str(error) == f"There is no file “s3://{BUCKET}/gone.wav”."
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(SerError, match="cannot be listed"):
        list(list_sources([f"s3://{BUCKET}/*.wav"]))
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_credentials_are_nowhere_but_in_the_environment(store: tuple[Gate, Any]) -> None:
    filesystem, path = find_filesystem(f"s3://{BUCKET}/a.wav")
    assert path == f"{BUCKET}/a.wav"
    options = filesystem.storage_options
    assert "key" not in options and "secret" not in options
    assert options["config_kwargs"]["retries"]["total_max_attempts"] > 3
