"""Weights that have to be fetched: a bar with words while a recording waits for them, or the one sentence why not.

The page, the engine and the server are real; only the table of addresses that openai-whisper brings is turned to a
server on this machine, which has a Whisper of the tiniest dimensions and no training.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from tests.browser.pages import free_port
from tests.speech import speech_wav
from ui import engine
from ui.listen import wording
from ui.session import Session

APP = Path(__file__).resolve().parents[2] / "app.py"
PATIENCE_S = 120.0
# The vocabulary, the mel bands and the window are what every multilingual Whisper has; all else is as small as it goes.
DIMS = {
    "n_mels": 80, "n_vocab": 51865, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 1, "n_audio_layer": 1,
    "n_text_ctx": 448, "n_text_state": 64, "n_text_head": 1, "n_text_layer": 1,
}  # fmt: skip


@dataclass
class Publisher:
    """A server of weights that hands out the first half of them, and the rest when `go_on` is set."""

    body: bytes
    says_length: bool = True
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    """Return a checkpoint file as OpenAI publishes them."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    file = io.BytesIO()
    state = {name: tensor.half() for name, tensor in Whisper(ModelDimensions(**DIMS)).state_dict().items()}
    torch.save({"dims": DIMS, "model_state_dict": state}, file)
    return file.getvalue()


@pytest.fixture
def publisher(checkpoint: bytes) -> Iterator[Publisher]:
    published = Publisher(checkpoint)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            half = len(published.body) // 2
            self.send_response(200)
            if published.says_length:
                self.send_header("Content-Length", str(len(published.body)))
            self.end_headers()
            self.wfile.write(published.body[:half])
            if published.go_on.wait(PATIENCE_S):
                self.wfile.write(published.body[half:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    published.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield published
    published.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def whisper_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, let_threads_end: Callable[[], None]) -> Iterator[Path]:
    """Let the page want Whisper tiny, which is not there yet and may be fetched; an engine of the test's own."""
    monkeypatch.setenv("SER_WHISPER", "tiny")
    monkeypatch.setenv("SER_WHISPER_DIR", str(tmp_path))
    monkeypatch.setenv("SER_ALLOW_DOWNLOAD", "yes")
    monkeypatch.setenv("SER_DOWNLOAD_TIMEOUT_S", str(2 * PATIENCE_S))
    st.cache_resource.clear()
    yield tmp_path
    # While the table of addresses is still turned: afterwards a warm-up that is late would ask the real publisher.
    let_threads_end()
    st.cache_resource.clear()


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Return (share, words) of every progress bar from now on, in order, as the page hands them to Streamlit."""
    drawn: list[tuple[float, str]] = []
    draw = DeltaGenerator.progress

    def note(self: DeltaGenerator, value: float, text: str, **rest: object) -> DeltaGenerator:
        drawn.append((value, text))
        return draw(self, value, text, **rest)

    monkeypatch.setattr(DeltaGenerator, "progress", note)
    return drawn


def published_at(monkeypatch: pytest.MonkeyPatch, address: str, body: bytes) -> None:
    """Let openai-whisper's table say that its tiny model is at this address."""
    import whisper

    monkeypatch.setitem(whisper._MODELS, "tiny", f"{address}/{hashlib.sha256(body).hexdigest()}/tiny.pt")


def upload(page: AppTest) -> Session:
    """Upload a recording; return the session when the page has answered it, in whatever way."""
    page.file_uploader(key="upload").set_value(("eleven.wav", speech_wav("It is eleven o'clock."), "audio/wav")).run()
    assert not page.exception
    return page.session_state["session"]


def when_drawn(bars: list[tuple[float, str]], then: threading.Event) -> threading.Thread:
    """Set an event as soon as there is a bar."""

    def watch() -> None:
        while not bars and not then.wait(0.05):
            pass
        then.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("says_length", [True, False])
def test_a_recording_that_waits_for_a_download_shows_its_progress_and_then_the_answer(
    says_length: bool,
    publisher: Publisher,
    whisper_dir: Path,
    bars: list[tuple[float, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher.says_length = says_length
    published_at(monkeypatch, publisher.url, publisher.body)
    page = AppTest.from_file(str(APP), default_timeout=300).run()
    # From here on the warm-up fetches, and half-way the publisher waits until the page has drawn a bar.
    when_drawn(bars, publisher.go_on)
    session = upload(page)
    assert not page.error and session.result is not None and session.result.analysis.transcript is not None
    assert session.result.analysis.transcript.engine.startswith("whisper-tiny")
    assert (whisper_dir / "tiny.pt").read_bytes() == publisher.body
    share, words = bars[0]
    megabytes = len(publisher.body) / 1e6
    if says_length:
        said = re.fullmatch(rf"Downloading Whisper tiny: (\d+) of {megabytes:.0f} MB", words)
        assert said and 0 < share < 0.6 and int(said[1]) == round(share * megabytes)
    else:
        assert share == 0 and re.fullmatch(r"Downloading Whisper tiny: \d+ MB so far", words)
    # The bar goes when the answer comes.
    assert not page.get("progress")


def test_a_download_that_is_impossible_is_one_sentence_on_the_page(
    checkpoint: bytes, whisper_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_at(monkeypatch, f"http://127.0.0.1:{free_port()}", checkpoint)
    page = AppTest.from_file(str(APP), default_timeout=300).run()
    session = upload(page)
    (said,) = (error.value for error in page.error)
    assert "tiny.pt" in said and said.endswith(".") and "\n" not in said
    assert session.result is None and not page.get("progress")


def test_a_download_that_is_damaged_is_one_sentence_and_its_bar_goes(
    publisher: Publisher, whisper_dir: Path, bars: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    published_at(monkeypatch, publisher.url, b"another file")
    page = AppTest.from_file(str(APP), default_timeout=300).run()
    when_drawn(bars, publisher.go_on)
    upload(page)
    (said,) = (error.value for error in page.error)
    assert bars and "checksum" in said and not page.get("progress")
    # The warm-up may have been the second to try; then it still fetches when the page has its sentence.
    assert engine.warm_up("").wait(60)
    assert engine.download().under_way() is None


def test_weights_that_may_not_be_fetched_are_one_sentence_that_says_what_to_do(
    whisper_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_ALLOW_DOWNLOAD", "no")
    page = AppTest.from_file(str(APP), default_timeout=300).run()
    upload(page)
    (said,) = (error.value for error in page.error)
    assert "SER_ALLOW_DOWNLOAD" in said and str(whisper_dir) in said and not list(whisper_dir.iterdir())


def test_a_download_is_under_way_from_its_first_bytes_to_its_last() -> None:
    download = engine.Download()
    assert download.under_way() is None
    download.update(120_000_000, 484_000_000)
    fetched = download.under_way()
    assert fetched is not None and (fetched.done, fetched.total) == (120_000_000, 484_000_000)
    assert wording.fetching("Whisper small", fetched.done, fetched.total) == "Downloading Whisper small: 120 of 484 MB"
    download.update(484_000_000, 484_000_000)
    assert download.under_way() is None


@pytest.mark.parametrize("total", [0, 10_000_000])
def test_a_download_is_under_way_until_it_is_forgotten(total: int) -> None:
    download = engine.Download()
    download.update(5_000_000, total)
    assert download.under_way() == (5_000_000, total)
    download.forget()
    assert download.under_way() is None


def test_a_download_of_unknown_length_is_shown_as_what_is_there() -> None:
    assert wording.fetching("Whisper small", 5_000_000, 0) == "Downloading Whisper small: 5 MB so far"
