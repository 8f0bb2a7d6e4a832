"""A speaker who is not in a model's training, through the page: eight clear clips, one for each emotion."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import soundfile

from ser_engine import Settings
from ser_engine.data.corpora.registry import read_corpus
from ser_engine.training.fold_model import train_fold_model
from tests.browser.conftest import NewPage
from tests.browser.pages import Server, answered, upload
from ui import wording

pytestmark = [pytest.mark.browser, pytest.mark.corpora, pytest.mark.slow]

CONFIG = """
id = "unseen"
system = "whisper-statistics"
protocols = ["speaker-independent"]
corpora = ["ravdess"]
mixtures = 3
dropout = 0.5
epochs = 20
learning_rate = 2e-3
mixup = 0.4
label_smoothing = 0.1
"""
"""The bundled model's, on one corpus; RAVDESS alone has all eight emotions."""
FOLD, ACTOR = "1", "ravdess/21"


@dataclass(frozen=True)
class Training:
    """A configuration, and how many of the eight clips its model names at least."""

    config: str
    right: int


QUICK = Training(CONFIG + "members = 1\nclips = 320\n", 4)
WHOLE = Training(CONFIG + "members = 2\nattentive = 2\n", 7)


@pytest.fixture(scope="module", params=[QUICK, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=["quick", "whole"])
def training(request: pytest.FixtureRequest) -> Training:
    training: Training = request.param
    return training


@pytest.fixture(scope="module")
def server(
    app_server: Callable[..., Server], training: Training, ser_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Server:
    config = tmp_path_factory.mktemp("configs") / "unseen.toml"
    config.write_text(training.config, encoding="utf-8")
    model, _ = train_fold_model(config, FOLD, replace(Settings.from_env(), data=ser_data))
    return app_server("app.py", {"SER_MODEL": str(model)})


def test_an_unseen_speaker_is_classified(server: Server, new_page: NewPage, training: Training, ser_data: Path) -> None:
    # Clear: played strongly, which comes second if there are two; "Dogs are sitting by the door", the second time.
    own = sorted((clip.path, clip.label) for clip in read_corpus("ravdess", ser_data) if clip.speaker == ACTOR)
    clips = {str(label): path for path, label in own if path.stem.endswith("-02-02-21")}
    assert len(clips) == 8
    page, right = new_page(), {}
    page.goto(server.url)
    for label, path in clips.items():
        wav = io.BytesIO()
        soundfile.write(wav, *soundfile.read(path), format="WAV")
        name = f"{label}.wav"
        upload(page, name, wav.getvalue())
        answered(page, name)
        heading = re.compile(rf"^(?!Not sure).*\b{wording.ADJECTIVES.get(label, label)}$")
        right[label] = page.get_by_role("heading", name=heading).count() == 1
    assert sum(right.values()) >= training.right, right
