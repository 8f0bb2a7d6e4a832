"""Archives on the storage of a service: `ser batch` as a process, whose results its owner alone finds."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from ser_engine.service.client import Client, ServiceError
from ser_engine.service.keys import new_key
from ser_engine.settings import Settings
from tests.ser_engine.service.conftest import Running, Serve, problem
from tests.ser_engine.service.test_limits import bearer
from tests.speech import encode, silence

needs_batch = pytest.mark.skipif(importlib.util.find_spec("ser_engine.batch") is None, reason="needs ser batch")


@pytest.fixture
def archive(tmp_path: Path, wav: bytes) -> Path:
    """A folder of archives with one of three recordings, and a link that leads outside."""
    folder = tmp_path / "archives"
    (folder / "calls").mkdir(parents=True)
    for number in range(2):
        (folder / "calls" / f"{number}.wav").write_bytes(wav)
    (folder / "calls" / "silent.wav").write_bytes(encode(silence(1.0)))
    (tmp_path / "outside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    return folder


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tiny: Settings) -> None:
    """Set the environment of the process of a batch, which is that of the service."""
    monkeypatch.setenv("SER_MODELS_DIR", str(tiny.models_dir))


@needs_batch
def test_a_batch_runs_and_its_datasets_are_there(serve: Serve, archive: Path, quiet: None, wav: bytes) -> None:
    import pyarrow.parquet as parquet

    running = serve(batches=str(archive))
    with Client(running.url) as client:
        begun = client.start_batch(["calls"], transcript=False)
        assert begun.state == "running" and begun.output == f"results/anyone/{begun.id}"
        # The same request is the same batch.
        assert client.start_batch(["calls"], transcript=False).id == begun.id
        with pytest.raises(ServiceError) as busy:
            client.start_batch(["calls/0.wav"], transcript=False)
        assert busy.value.kind == "busy" and busy.value.retry_s
        found = begun
        deadline = time.monotonic() + 180
        while found.state == "running":
            assert time.monotonic() < deadline
            time.sleep(0.3)
            found = client.batch(begun.id)
        assert (found.state, found.done, found.failed, found.total) == ("finished", 3, 1, 3)
        table = parquet.read_table(archive / found.output / "recordings")
        assert table.num_rows == 3 and sum(error is not None for error in table["error"].to_pylist()) == 1

        (archive / "calls" / "new.wav").write_bytes(wav)
        assert client.start_batch(["calls"], transcript=False).id == begun.id
        while (found := client.batch(begun.id)).state == "running":
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert (found.state, found.done) == ("finished", 4)


@needs_batch
def test_a_batch_that_is_refused_says_why(serve: Serve, archive: Path, quiet: None) -> None:
    running = serve(batches=str(archive))
    with Client(running.url) as client:
        begun = client.start_batch(["calls"], transcript=False)
        running.service.batches._running.popitem()[1].kill()
        (archive / begun.output).mkdir(parents=True, exist_ok=True)
        (archive / begun.output / "_plan.json").write_text("no plan of ours")
        deadline = time.monotonic() + 60
        found = client.start_batch(["calls"], transcript=False)
        while found.state == "running":
            assert time.monotonic() < deadline
            time.sleep(0.2)
            found = client.batch(begun.id)
    assert found.state == "failed" and found.reason.endswith(".") and str(archive) not in found.reason


@pytest.mark.parametrize(
    "source", ["../outside", "/etc", "link", "link/x", "calls/../../outside", "none", "calls/*.wav", "a\0b", "s3://b/x"]
)
def test_no_source_lies_outside_of_the_folder(source: str, serve: Serve, archive: Path) -> None:
    running = serve(batches=str(archive))
    answer = running.http.post("/v1/batches", json={"sources": [source]})
    assert answer.status_code == 422
    problem(answer)
    assert not (archive / "results").exists()


@pytest.mark.parametrize(
    "body",
    [{}, {"sources": []}, {"sources": "calls"}, {"sources": ["calls"], "model": "none"}, {"sources": ["calls"], "a": 1},
     {"sources": ["calls"], "channels": "left"}, ["calls"], None],
)  # fmt: skip
def test_a_wrong_request_is_one_sentence(body: object, serve: Serve, archive: Path) -> None:
    answer = serve(batches=str(archive)).http.post("/v1/batches", json=body)
    assert answer.status_code == 422
    problem(answer)


def test_without_a_folder_there_are_no_batches(shared: Running) -> None:
    answer = shared.http.post("/v1/batches", json={"sources": ["calls"]})
    assert answer.status_code == 404 and "--batches" in problem(answer)["detail"]
    assert shared.http.get("/v1/batches/0123456789abcdef").status_code == 404


def test_a_batch_belongs_to_its_key(serve: Serve, archive: Path, tmp_path: Path) -> None:
    secrets = {name: new_key(name, str(tmp_path / "keys.toml"))[0] for name in ("mine", "yours")}
    running = serve(keys_file=str(tmp_path / "keys.toml"), batches=str(archive))
    out = archive / "results" / "mine" / "0123456789abcdef"
    out.mkdir(parents=True)
    (out / "_progress.json").write_text('{"state": "running", "done": 5, "total": 9}')
    path = "/v1/batches/0123456789abcdef"
    found = running.http.get(path, headers=bearer(secrets["mine"])).json()
    # No process of this service works on it: it was ended with another one.
    assert (found["state"], found["done"], found["total"]) == ("stopped", 5, 9)
    assert running.http.get(path, headers=bearer(secrets["yours"])).status_code == 404
    for other in ("..", "%2e%2e", "x", "0123456789abcdeF"):
        assert running.http.get(f"/v1/batches/{other}", headers=bearer(secrets["mine"])).status_code in (404, 405)
