"""Real Chromium against the real server: what all browser tests share."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile
import soxr
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.browser.pages import Server, Watch
from tests.speech import speech_wav as speak

# Playwright's own patience of 5 s is short for a machine with two cores that has a browser and a server to run.
expect.set_options(timeout=20_000)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MICROPHONE_RATE = 48_000
QUIET = [
    "--no-proxy-server",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
]
"""Nothing that Chromium would do of its own accord, and no need of a sound card or much shared memory."""
NO_SOUND_SYSTEM = {
    "PULSE_SERVER": "unix:/nonexistent",
    "PIPEWIRE_REMOTE": "nonexistent",
    "ALSA_CONFIG_PATH": os.devnull,
}
"""An environment in which Chromium finds no microphone, also on a machine that has one."""


class NewPage(Protocol):
    """What the fixture `new_page` is; every page has its own cookies, and so is a person of its own."""

    def __call__(
        self,
        fake_audio: Path | None = None,
        *,
        deny_microphone: bool = False,
        no_microphone: bool = False,
        viewport: tuple[int, int] = (1280, 900),
        color_scheme: str = "light",
        init_script: str = "",
        args: tuple[str, ...] = (),
        **context_options: Any,
    ) -> Page: ...


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium_path(playwright: Playwright) -> str:
    """Return what CHROMIUM names, the system's Chromium or Chrome, or Playwright's own."""
    own = playwright.chromium.executable_path
    found = (os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), own if Path(own).exists() else None)
    path = next(filter(None, found), None)
    if path is None:
        sentence = "No Chromium was found; install one, or name it with CHROMIUM=…"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return path


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a script, from the project's root, and waits until it answers.

    `app_server(script="app.py", env=None, address="127.0.0.1")`; all servers end with the session.
    """
    running: list[Server] = []

    def start(script: str = "app.py", env: dict[str, str] | None = None, address: str = "127.0.0.1") -> Server:
        server = Server(script, tmp_path_factory.mktemp("server") / "log.txt", env or {}, address)
        running.append(server)
        server.wait()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def app(app_server: Callable[..., Server]) -> Server:
    """Return the real app.py, started once."""
    return app_server("app.py")


@pytest.fixture(scope="session")
def app_url(app: Server) -> str:
    """Return where the real app.py is."""
    return app.url


@pytest.fixture(scope="session")
def launch(playwright: Playwright, chromium_path: str) -> Iterator[Callable[..., Browser]]:
    """Return a function that starts Chromium headless; the same arguments give the same browser again."""
    running: dict[tuple, Browser] = {}

    def start(args: tuple[str, ...], env: tuple[tuple[str, str], ...] = ()) -> Browser:
        if (args, env) not in running:
            sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
            running[args, env] = playwright.chromium.launch(
                executable_path=chromium_path, args=[*QUIET, *sandbox, *args], env={**os.environ, **dict(env)}
            )
        return running[args, env]

    yield start
    for browser in running.values():
        browser.close()


@pytest.fixture
def watches() -> dict[Page, Watch]:
    """Return what is known about each page of this test: `watches[page].errors`, `watches[page].hosts`."""
    return {}


@pytest.fixture
def new_page(launch: Callable[..., Browser], watches: dict[Page, Watch]) -> Iterator[NewPage]:
    """Return a function that opens a page; see `NewPage`.

    The microphone plays `fake_audio` in a loop and is allowed, unless `deny_microphone`; without `fake_audio` it
    plays Chromium's beeps, with `no_microphone` there is none. `init_script` runs before the page's own scripts.
    All pages close with the test, also after a failure.
    """
    contexts: list[BrowserContext] = []

    def open_page(
        fake_audio=None,
        *,
        deny_microphone=False,
        no_microphone=False,
        viewport=(1280, 900),
        color_scheme="light",
        init_script="",
        args=(),
        **context_options,
    ) -> Page:
        flags, env = list(args), ()
        if no_microphone:
            flags += ["--use-fake-ui-for-media-stream"]
            env = tuple(NO_SOUND_SYSTEM.items())
        else:
            flags += ["--use-fake-device-for-media-stream"]
            flags += ["--deny-permission-prompts" if deny_microphone else "--use-fake-ui-for-media-stream"]
        if fake_audio is not None:
            flags += [f"--use-file-for-fake-audio-capture={fake_audio}"]
        width, height = viewport
        context = launch(tuple(flags), env).new_context(
            viewport={"width": width, "height": height}, color_scheme=color_scheme, **context_options
        )
        contexts.append(context)
        page = context.new_page()
        if init_script:
            page.add_init_script(init_script)
        watches[page] = Watch()
        watches[page].follow(context, page)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def as_microphone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path | bytes], Path]:
    """Return a function that makes any recording one that Chromium's fake microphone plays: 48 kHz, 16 bit, mono."""

    def convert(recording: Path | bytes) -> Path:
        source = io.BytesIO(recording) if isinstance(recording, bytes) else recording
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        samples = soxr.resample(samples.mean(axis=1), rate, MICROPHONE_RATE)
        path = tmp_path_factory.mktemp("microphone") / "microphone.wav"
        soundfile.write(path, np.clip(samples, -1, 1), MICROPHONE_RATE, "PCM_16")
        return path

    return convert


@pytest.fixture(scope="session")
def speech_wav(as_microphone: Callable[[Path | bytes], Path]) -> Path:
    """Return generated speech of known words, ready for the fake microphone."""
    return as_microphone(speak("Dogs are sitting by the door."))


@pytest.fixture
def speaking_page(new_page: NewPage, speech_wav: Path) -> Callable[..., Page]:
    """Return `new_page` with a microphone that plays speech unless something else is said of it."""

    def open_it(**wishes: Any) -> Page:
        if not wishes.keys() & {"deny_microphone", "no_microphone", "fake_audio"}:
            wishes["fake_audio"] = speech_wav
        return new_page(**wishes)

    return open_it


@pytest.fixture(scope="session")
def real_speech_wav(ser_data: Path, as_microphone: Callable[[Path | bytes], Path]) -> Path:
    """Return an actress's angry “Dogs are sitting by the door.”, ready for the fake microphone; needs SER_DATA."""
    (clip,) = (ser_data / "ravdess" / "Actor_02").glob("03-01-05-02-02-01-02.*")
    return as_microphone(clip)
