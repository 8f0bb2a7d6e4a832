"""The example in JavaScript of an exported model, in a real browser: onnxruntime-web gives what Python gives."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page

from ser_engine import Settings
from ser_engine.audio.quality import normalize_level
from ser_engine.cli.main import main
from ser_engine.models.registry import load_answering_model
from tests.browser.conftest import NewPage
from tests.browser.pages import Watch
from tests.speech import RATE, speech, taken_for_speech

pytestmark = pytest.mark.browser
RUNTIME = "onnxruntime-web@1.30.0"
PAGE = """<!doctype html><title>Export</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"onnxruntime-web": "/package/dist/ort.wasm.bundle.min.mjs"}}</script>
<script type="module">
import { recognize } from "./example.js";
window.answer = async () => recognize(await (await fetch("speech.wav")).arrayBuffer());
</script>"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with onnxruntime-web, which no package of Python carries."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("onnxruntime-web comes from npm, which is not on this machine")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "pack", RUNTIME, "--silent", "--fetch-retries=0", "--fetch-timeout=30000"]
    asked = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"npm cannot fetch {RUNTIME}: {asked.stderr.strip()[:200]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


@pytest.fixture
def site(runtime: Path, tmp_path: Path) -> Iterator[str]:
    """Serve an exported model with its example and a recording; return the address."""
    assert main(["export", "voice-open", "-o", str(tmp_path)]) == 0
    example = re.search(r"```js\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "example.js").write_text(example[1])
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "package").symlink_to(runtime)
    soundfile.write(tmp_path / "speech.wav", speech(), RATE, subtype="PCM_16")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_browser_gives_the_probabilities_of_the_engine(
    settings: Settings, new_page: NewPage, watches: dict[Page, Watch], site: str, tmp_path: Path
) -> None:
    tab = new_page()
    tab.set_default_timeout(120_000)
    tab.goto(site)
    tab.wait_for_function("window.answer !== undefined")
    answer = tab.evaluate("window.answer()")
    samples, _ = soundfile.read(tmp_path / "speech.wav", dtype="float32")
    model = load_answering_model(settings.models_dir / "voice-open", settings)
    (expected,) = model.predict([taken_for_speech(normalize_level(samples))])
    assert tuple(answer) == model.labels and not watches[tab].errors
    assert list(answer.values()) == pytest.approx(expected.scores.probabilities, abs=1e-3)
    assert np.ptp(expected.scores.probabilities) > 0.05
