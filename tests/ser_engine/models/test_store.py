"""Tests of weights on disk, of Whisper's loading, and of downloads from a server that misbehaves on purpose."""

import ast
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from ser_engine.errors import WeightsUnavailable
from ser_engine.models import store as weights
from ser_engine.settings import PROJECT, WHISPER_SIZES, Settings

ENGINE = Path(weights.__file__).parent
DIMS = {
    "n_mels": 8,
    "n_audio_ctx": 10,
    "n_audio_state": 64,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 90,
    "n_text_ctx": 12,
    "n_text_state": 64,
    "n_text_head": 2,
    "n_text_layer": 1,
}


def tiny_state(dims: dict[str, int] = DIMS) -> dict[str, torch.Tensor]:
    """Return the float16 state dict of a Whisper of chance."""
    torch.manual_seed(0)
    model = Whisper(ModelDimensions(**dims))
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)
    return {name: tensor.half() for name, tensor in model.state_dict().items()}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models_dir=tmp_path / "models", whisper_dir=tmp_path / "whisper", download_timeout_s=5.0)


def shipped(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **config: object) -> Path:
    """Write a folder as models/ holds them."""
    checksum = weights.write_tensors(folder, tensors or {"w": torch.arange(4.0)})
    weights.write_config(folder, {**config, "weights": {"model.safetensors": checksum}})
    return folder


# --- Folders --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(tmp_path):
    tensors = {"head": torch.randn(3, 5).half(), "view": torch.randn(4, 6).T, "count": torch.tensor(7)}
    folder = shipped(tmp_path / "new" / "model", tensors, id="é")
    file = folder / "model.safetensors"
    assert weights.read_config(folder)["weights"]["model.safetensors"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert weights.read_config(folder)["id"] == "é"
    back = weights.read_tensors(folder)
    assert back["head"].dtype == torch.float32
    assert all(torch.equal(back[name], tensor.to(back[name].dtype)) for name, tensor in tensors.items())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())  # for whoever runs the page, too


def test_a_write_that_fails_leaves_the_old_weights_and_nothing_else(tmp_path):
    folder = shipped(tmp_path / "model")
    twice = torch.ones(4)
    with pytest.raises(RuntimeError):  # safetensors refuses memory that two names share
        weights.write_tensors(folder, {"a": twice, "b": twice})
    with pytest.raises(TypeError):
        weights.write_config(folder, {"a": object()})
    assert torch.equal(weights.read_tensors(folder)["w"], torch.arange(4.0))
    assert len(list(folder.iterdir())) == 2


def test_damaged_weights_are_refused_by_name(tmp_path):
    folder = shipped(tmp_path / "model")
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsUnavailable, match=rf"{re.escape(str(file))} is damaged"):
        weights.verify(folder)
    with pytest.raises(WeightsUnavailable, match="damaged"):
        weights.read_tensors(folder)


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    folder = shipped(tmp_path / "model")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n")
    with pytest.raises(WeightsUnavailable, match="git lfs pull"):
        weights.verify(folder)


def test_every_file_that_the_config_names_is_verified(tmp_path):
    folder = shipped(tmp_path / "model")
    config = weights.read_config(folder)
    config["weights"]["extra.npy"] = "0" * 64
    weights.write_config(folder, config)
    with pytest.raises(WeightsUnavailable, match=r"extra\.npy is missing"):
        weights.verify(folder)
    (folder / "extra.npy").write_bytes(b"something else")
    with pytest.raises(WeightsUnavailable, match=r"extra\.npy is damaged"):
        weights.verify(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "holds no model"),
        ("{", "cannot be read"),
        ("[1]", "not the description"),
        ("{}", "no checksums"),
        ('{"weights": {}}', "no checksums"),
    ],
)
def test_a_folder_without_a_proper_config_is_refused(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsUnavailable, match=sentence):
        weights.verify(tmp_path)


def test_verified_files_that_are_no_safetensors_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"no tensors at all")
    weights.write_config(tmp_path, {"weights": {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}})
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        weights.read_tensors(tmp_path)


def test_a_file_is_hashed_once_until_it_changes(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = weights.sha256(file)
    assert first == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))  # a change that nothing shows: the old answer shows that the file was not read again
    assert weights.sha256(file) == first
    os.utime(file, ns=(2, 2))
    assert weights.sha256(file) == hashlib.sha256(b"two").hexdigest()


# --- Whisper --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundled(settings) -> Settings:
    weights.write_whisper(settings.models_dir / "whisper-base", tiny_state(), DIMS, "a test")
    return settings


def outputs(model: Whisper) -> torch.Tensor:
    """Run the whole network; the causal mask, the positions and all weights have a part in the result."""
    generator = torch.Generator().manual_seed(1)
    mel = torch.randn(1, DIMS["n_mels"], 2 * DIMS["n_audio_ctx"], generator=generator)
    with torch.inference_mode():
        return model(mel, torch.tensor([[1, 5, 2, 80]]))


def test_the_bundled_folder_says_what_it_is(bundled):
    folder = bundled.models_dir / "whisper-base"
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "config.json", "model.safetensors"]
    assert "MIT License" in (folder / "LICENSE").read_text()
    config = json.loads((folder / "config.json").read_text())
    assert config["dims"] == DIMS
    assert config["source"] == "a test"
    assert config["quantization"]["float16"] == list(weights.WHISPER_KEEP)
    assert config["weights"]["model.safetensors"] == weights.sha256(folder / "model.safetensors")
    float16 = sum(tensor.numel() * 2 for tensor in tiny_state().values())
    assert (folder / "model.safetensors").stat().st_size < 0.75 * float16


def test_the_bundled_whisper_computes_what_its_weights_say(bundled):
    model = weights.load_whisper(bundled)
    assert not model.training
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())

    plain = Whisper(ModelDimensions(**DIMS))
    plain.load_state_dict(weights.read_tensors(bundled.models_dir / "whisper-base"))
    assert torch.equal(outputs(model), outputs(plain.eval()))
    assert torch.equal(model.alignment_heads.to_dense(), plain.alignment_heads.to_dense())

    exact = Whisper(ModelDimensions(**DIMS))
    exact.load_state_dict(tiny_state())
    reference = outputs(exact.eval())
    assert 0 < (outputs(model) - reference).norm() < 0.02 * reference.norm()


def test_building_draws_no_random_numbers(bundled):
    state = torch.get_rng_state()
    weights.load_whisper(bundled)
    assert torch.equal(torch.get_rng_state(), state)
    before = Whisper(ModelDimensions(**DIMS)).encoder.conv1.weight
    assert before.std() > 0  # and models that are built afterwards are initialised as ever
    assert not torch.equal(torch.get_rng_state(), state)


def test_all_who_ask_share_one_whisper(bundled):
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: weights.shared_whisper(bundled), range(8)))
    assert len({id(model) for model in models}) == 1


def test_a_bundled_whisper_that_is_missing_is_named(settings):
    with pytest.raises(WeightsUnavailable, match="whisper-base holds no model"):
        weights.load_whisper(settings)


def official(folder: Path, dims: dict[str, int] = DIMS) -> bytes:
    """Return the bytes of a checkpoint as OpenAI publishes them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": dims, "model_state_dict": tiny_state(dims)}, folder / "made.pt")
    return (folder / "made.pt").read_bytes()


def table(body: bytes, address: str = "http://127.0.0.1:9") -> dict[str, str]:
    """Return a table of addresses as openai-whisper's, for one size; nothing listens at the default."""
    return {"turbo": f"{address}/models/{hashlib.sha256(body).hexdigest()}/large-v3-turbo.pt"}


def test_a_file_in_whispers_cache_is_used_without_network(settings, tmp_path):
    body = official(tmp_path)
    settings.whisper_dir.mkdir()
    (settings.whisper_dir / "large-v3-turbo.pt").write_bytes(body)
    model = weights.load_whisper(replace(settings, whisper="turbo", allow_download=True), urls=table(body))
    exact = Whisper(ModelDimensions(**DIMS))
    exact.load_state_dict(tiny_state())
    assert torch.equal(outputs(model), outputs(exact.eval()))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_the_heads_for_word_times_are_the_official_ones(settings, tmp_path):
    """Turbo has 4 decoder layers of 20 heads; so has this one, a narrow one."""
    body = official(tmp_path, DIMS | {"n_text_state": 80, "n_audio_state": 80, "n_text_layer": 4, "n_text_head": 20})
    settings.whisper_dir.mkdir()
    (settings.whisper_dir / "large-v3-turbo.pt").write_bytes(body)
    model = weights.load_whisper(replace(settings, whisper="turbo"), urls=table(body))
    assert model.alignment_heads.to_dense().sum() == 6  # the general choice would be 40


def test_without_leave_nothing_is_fetched_and_the_ways_out_are_said(settings, server):
    urls = table(server.body, server.address)
    with pytest.raises(WeightsUnavailable) as caught:
        weights.load_whisper(replace(settings, whisper="turbo"), urls=urls)
    for hint in ("turbo", "SER_ALLOW_DOWNLOAD=1", urls["turbo"], str(settings.whisper_dir)):
        assert hint in str(caught.value)
    settings.whisper_dir.mkdir()
    (settings.whisper_dir / "large-v3-turbo.pt").write_bytes(b"half a file")
    with pytest.raises(WeightsUnavailable, match=r"large-v3-turbo\.pt is damaged.*SER_ALLOW_DOWNLOAD=1"):
        weights.load_whisper(replace(settings, whisper="turbo"), urls=urls)
    assert server.ranges == []


def test_with_leave_a_missing_or_damaged_file_is_fetched(settings, server, tmp_path):
    server.body = official(tmp_path)
    urls = table(server.body, server.address)
    allowed = replace(settings, whisper="turbo", allow_download=True)
    assert weights.load_whisper(allowed, urls=urls).dims.n_vocab == DIMS["n_vocab"]
    file = settings.whisper_dir / "large-v3-turbo.pt"
    file.write_bytes(b"damaged")
    told: list[tuple[int, int]] = []
    weights.load_whisper(allowed, lambda done, total: told.append((done, total)), urls)
    assert file.read_bytes() == server.body
    assert told[-1] == (len(server.body), len(server.body))
    assert len(server.ranges) == 2


def test_every_size_of_the_settings_has_an_official_file():
    for size in WHISPER_SIZES:
        assert re.search(r"^https://\S+/[0-9a-f]{64}/[\w.-]+\.pt$", whisper._MODELS[size]), size
        assert size in whisper._ALIGNMENT_HEADS


# --- Downloads ------------------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves `body` under every path, in the `way` that a test wants; `ranges` are the Range headers it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = os.urandom(3_000_000)
        self.way = "well"
        self.ranges: list[str | None] = []
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        way, body = self.server.way, self.server.body
        self.server.ranges.append(self.headers["Range"])
        start = int(self.headers["Range"].split("=")[1][:-1]) if self.headers["Range"] and way != "no ranges" else 0
        if way == "silent":
            self.server.over.wait(10)
            return
        if way == "404" or start >= len(body):
            self.send_error(404 if way == "404" else 416)
            return
        self.send_response(206 if start else 200)
        if way != "no length":
            self.send_header("Content-Length", str(10**17 if way == "endless" else len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : len(body) // 2] if way in ("stalls", "breaks off") else body[start:])
        if way == "stalls":
            self.server.over.wait(10)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a" / "new folder" / "tiny.pt"


def part_of(target: Path) -> Path:
    return target.with_name("tiny.pt.part")


def fails(server: Server, target: Path, sentence: str, url: str = "", timeout_s: float = 5.0) -> None:
    """Expect that a download fails with one sentence that names file and server, and leaves no target."""
    url = url or f"{server.address}/x/tiny.pt"
    with pytest.raises(WeightsUnavailable, match=sentence) as caught:
        weights.fetch(url, target, server.checksum, timeout_s)
    text = str(caught.value)
    assert "tiny.pt" in text
    assert text.endswith((".", "?"))
    assert "\n" not in text
    assert not target.exists()


@pytest.mark.parametrize("way", ["well", "no length"])
def test_a_download_arrives_whole_and_tells_of_its_progress(server, target, way):
    server.way = way
    told: list[tuple[int, int]] = []
    weights.fetch(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0, lambda *now: told.append(now))
    assert target.read_bytes() == server.body
    assert [path.name for path in target.parent.iterdir()] == ["tiny.pt"]
    done = [now[0] for now in told]
    assert done == sorted(done)
    assert {total for _, total in told} == {len(server.body) if way == "well" else 0}
    if way == "well":
        assert done[-1] == len(server.body)


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(server, target):
    with pytest.raises(WeightsUnavailable, match="checksum"):
        weights.fetch(f"{server.address}/x/tiny.pt", target, "0" * 64, 5.0)
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
    weights.fetch(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0, lambda *now: told.append(now))
    assert target.read_bytes() == server.body
    assert server.ranges == [None, f"bytes={half}-"]
    assert all(done > half and total == len(server.body) for done, total in told)


def test_a_server_that_cannot_go_on_begins_anew(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(server.body[:1000])
    server.way = "no ranges"
    weights.fetch(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)
    assert server.ranges == ["bytes=1000-"]
    assert target.read_bytes() == server.body


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_part_as_long_as_the_file_but_wrong_is_fetched_anew(server, target, extra):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(bytes(len(server.body)) + extra)
    weights.fetch(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)
    assert target.read_bytes() == server.body


def test_a_part_that_is_whole_needs_no_server(server, target):
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(server.body)
    weights.fetch(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)
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
        weights.fetch(f"{server.address}/x/tiny.pt", target, server.checksum, 5.0)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fetch, range(2)))
    assert target.read_bytes() == server.body
    assert len(server.ranges) == 1


def test_no_other_file_of_the_engine_can_open_a_connection():
    network = {"socket", "ssl", "urllib.request", "http.client", "requests", "httpx", "aiohttp", "urllib3", "ftplib"}
    network |= {"huggingface_hub", "torch.hub"}
    for file in ENGINE.rglob("*.py"):
        imported: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
        # hub_files.py asks the Hugging Face hub, by way of that hub's own library alone.
        allowed = {"weights.py": network, "hub_files.py": {"huggingface_hub"}}.get(file.name, set())
        assert not imported & (network - allowed), file


def test_bundled_weights_are_small() -> None:
    def size(name: str) -> int:
        return (PROJECT / "models" / name / "model.safetensors").stat().st_size

    assert size("whisper-base") <= 80e6
    assert size("whisper-base-tuned") + size("whisper-base-statistics") <= 30e6
    assert size("goemotions-minilm") <= 25e6
