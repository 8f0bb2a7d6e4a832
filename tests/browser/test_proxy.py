"""The page behind nginx with another host name, and in a frame of another site, as docs/deployment.md has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.pages import PATIENCE_MS, PROJECT, Server, Watch, answered, free_port
from tests.speech import speech_wav

pytestmark = pytest.mark.browser

HOST, OTHER, STRANGE = "ser.example.org", "www.example.com", "www.example.net"
NAMED = ("--host-resolver-rules=MAP * 127.0.0.1",)
EMOJI = "Müllers Anruf 🎤😀 “1”.wav"
WAIT_S = 10.0


def documented(start: str) -> str:
    """Return the code block of docs/deployment.md that begins with this."""
    blocks = re.findall(
        r"```\w*\n(.*?)```", (PROJECT / "docs" / "deployment.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (block,) = [block for block in blocks if block.lstrip().startswith(start)]
    return block


@pytest.fixture(scope="module")
def nginx() -> str:
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None or shutil.which("openssl") is None:
        sentence = "nginx and openssl are needed for the tests of a reverse proxy (apt-get install nginx-light openssl)"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return path


@pytest.fixture(scope="module")
def server(app_server: Callable[..., Server]) -> Server:
    """Return the page with the settings that are documented for a proxy and a frame."""
    lines = documented("STREAMLIT_BROWSER") + documented("STREAMLIT_SERVER_XSRF")
    return app_server(env=dict(re.findall(r"(STREAMLIT_\w+)=(\S+)", lines)))


@pytest.fixture(scope="module")
def proxy(nginx: str, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start nginx with the documented configuration, and another site that has the page in a frame; return its port."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    certificate = ["-keyout", f"{folder}/ser.key", "-out", f"{folder}/ser.pem", "-subj", f"/CN={HOST}"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *certificate],
        check=True,
        capture_output=True,
    )
    page = documented("server {").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    page = page.replace("127.0.0.1:8501", f"127.0.0.1:{server.port}").replace("/etc/ssl", str(folder))
    frame = documented("<iframe").replace(f"https://{HOST}", f"https://{HOST}:{port}")
    frame = frame.replace("<iframe", '<iframe style="width: 100%; height: 1200px"')
    (folder / "other").mkdir()
    (folder / "other" / "index.html").write_text(f"<!doctype html><title>Another site</title>{frame}")
    policy = documented("proxy_cookie_path").replace(f"https://{OTHER}", f"https://{OTHER}:{port}")
    page = page.replace("location / {", "location / {\n" + policy)
    other = re.sub(r"location.*\}", f"root {folder}/other; }}", page, flags=re.DOTALL).replace(
        HOST, f"{OTHER} {STRANGE}"
    )
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {folder}/pid; "
        f"error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{page}\n{other} }}"
    )
    running = subprocess.Popen([nginx, "-p", str(folder), "-c", f"{folder}/nginx.conf"])
    try:
        wait_for(running, port, folder / "error.log")
        yield port
    finally:
        running.terminate()
        running.wait(15)


def wait_for(running: subprocess.Popen, port: int, log: Path) -> None:
    """Return when nginx answers, if only that it expects HTTPS."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            assert connection.getresponse().status == 400
            return
        except OSError:
            written = log.read_text() if log.exists() else ""
            assert running.poll() is None and time.monotonic() < deadline, f"nginx did not start: {written}"
            time.sleep(0.1)


def send(where: Page | FrameLocator, *names: str) -> None:
    """Give files to a page or to a frame."""
    expect(where.locator("input[type=file]").first).to_be_attached(timeout=30_000)
    sound = speech_wav("Dogs are sitting by the door.")
    where.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": "audio/wav", "buffer": sound} for name in names]
    )


def test_uploads_work_behind_nginx_with_another_host_name_whatever_the_file_is_called(
    proxy: int, new_page: NewPage, watches: dict[Page, Watch]
) -> None:
    page = new_page(args=NAMED, ignore_https_errors=True)
    page.goto(f"https://{HOST}:{proxy}/")
    send(page, EMOJI)
    answered(page, EMOJI)
    expect(page.get_by_label("Transcript (editable)")).to_have_value(re.compile("dogs", re.IGNORECASE))
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download JSON").click()
    assert taken.value.suggested_filename == f"{EMOJI.removesuffix('.wav')}-emotion.json"
    assert watches[page].hosts == {HOST} and not watches[page].errors


def test_uploads_and_the_microphone_work_in_a_frame_of_another_site(
    proxy: int, new_page: NewPage, speech_wav: Path
) -> None:
    page = new_page(speech_wav, args=NAMED, ignore_https_errors=True)
    page.goto(f"https://{OTHER}:{proxy}/")
    inside = page.frame_locator("iframe")
    send(inside, EMOJI)
    expect(inside.locator(".eyebrow", has_text=EMOJI)).to_be_visible(timeout=PATIENCE_MS)
    inside.locator(".record").first.click()
    expect(inside.locator(".eyebrow", has_text="Your recording.wav")).to_be_visible(timeout=PATIENCE_MS)


def test_a_site_that_may_not_show_the_page_in_a_frame_cannot(
    proxy: int, new_page: NewPage, watches: dict[Page, Watch]
) -> None:
    page = new_page(args=NAMED, ignore_https_errors=True)
    page.goto(f"https://{STRANGE}:{proxy}/")
    expect(page).to_have_title("Another site")
    page.wait_for_timeout(3_000)
    assert page.frame_locator("iframe").locator("input[type=file]").count() == 0
    assert any("frame-ancestors" in error for error in watches[page].errors)
