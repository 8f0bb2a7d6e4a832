"""Encoders of the hub: a commit pins one, without it the newest is taken and named; what goes wrong is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from ser_engine import Settings
from ser_engine.errors import WeightsUnavailable
from ser_engine.models import hub_files
from ser_engine.models.encoder_files import locate
from ser_engine.models.encoder_reference import EncoderReference
from ser_engine.models.encoders import load_encoder, load_tokenizer
from tests.ser_engine.models.loopback_hub import Hub, commit_of, point_to
from tests.ser_engine.models.tiny_encoders import write_speech, write_text

ID = "facebook/wav2vec2-large"
NEWEST, OLDER = commit_of(ID, 0), commit_of(ID, 1)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    write_speech(folder / "wav2vec2", "wav2vec2")
    write_text(folder / "bert", "bert-heads")
    return folder


@pytest.fixture
def hub(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    hub.add(ID, files / "wav2vec2", NEWEST, OLDER)
    hub.add("google-bert/bert-base-uncased", files / "bert")
    point_to(hub.address, tmp_path / "cache", monkeypatch)
    monkeypatch.setattr(hub_files, "_NEWEST", {})
    yield hub
    hub.close()


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return Settings(models_dir=tmp_path / "models", allow_download=True, download_timeout_s=5.0)


def test_without_a_commit_the_newest_is_taken_named_and_kept(
    hub: Hub, here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, pinned = load_encoder(EncoderReference.parse(ID), "speech", here)
    assert encoder.config.model_type == "wav2vec2"
    assert pinned.revision == NEWEST and len(pinned.sha256) == 64
    said = capsys.readouterr().err
    assert f"{ID}@{NEWEST}: no commit was named, and this is the newest." in said
    hub.asked.clear()
    assert load_encoder(EncoderReference.parse(ID), "speech", here)[1] == pinned
    assert hub.asked == [] and "no commit" not in capsys.readouterr().err  # one commit, said once
    offline = Settings(models_dir=here.models_dir)
    hub_files._NEWEST.clear()  # as in another process
    assert load_encoder(EncoderReference.parse(ID), "speech", offline)[1] == pinned
    assert hub.asked == []


def test_a_commit_pins_the_weights(hub: Hub, here: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert locate(EncoderReference.parse(f"{ID}@{OLDER}"), here).reference.revision == OLDER
    assert not any(NEWEST in path or "/revision/" in path for path in hub.asked)
    assert "no commit" not in capsys.readouterr().err
    with pytest.raises(WeightsUnavailable, match=f"it has no revision “{40 * '0'}”"):
        locate(EncoderReference.parse(f"{ID}@{40 * '0'}"), here)


def test_the_tokenizer_is_of_the_same_commit(hub: Hub, here: Settings) -> None:
    reference = EncoderReference.parse("bert-base-uncased")
    _, pinned = load_encoder(reference, "text", here)
    assert pinned.id == "google-bert/bert-base-uncased"
    hub.asked.clear()
    assert load_tokenizer(reference, here)("dogs")["input_ids"] and hub.asked == []


def test_a_download_that_breaks_off_goes_on_from_there(
    hub: Hub, here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # bytes that are lost at most: the file is tiny
    hub.broken.add(ID)
    _, pinned = load_encoder(EncoderReference.parse(ID), "speech", here)
    half = (hub.repositories[ID].folder / "model.safetensors").stat().st_size // 2
    (asked,) = hub.ranges
    assert half - 1000 <= int(asked.removeprefix("bytes=").rstrip("-")) <= half and pinned.revision == NEWEST


def test_progress_is_that_of_all_files_and_ends_once(hub: Hub, here: Settings) -> None:
    seen: list[tuple[int, int]] = []
    reference = hub_files.Reference(ID, NEWEST)
    hub_files.download_files(reference, ("*.json",), here, lambda done, total: seen.append((done, total)))
    size = sum(file.stat().st_size for file in hub.repositories[ID].folder.iterdir())
    done = [now for now, _ in seen]
    assert seen[-1] == (size, size) and done == sorted(done)
    assert [now for now, total in seen if now == total] == [size]


def test_a_bar_of_a_download_is_in_the_terminal(hub: Hub, here: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    locate(EncoderReference.parse(ID), here)
    assert re.search(rf"{ID}: 100%.*B/s", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("gated", "its owner gives it only to those who accept its terms there"),
        ("missing", "there is no such model, or it is private"),
        ("dead", "the hub cannot be reached or does not answer"),
        ("no config", "is not a model of Transformers: it has no config.json"),
    ],
)
def test_what_goes_wrong_is_said_with_both_ways(
    hub: Hub, here: Settings, tmp_path: Path, broken: str, sentence: str
) -> None:
    if broken == "gated":
        hub.gated.add(ID)
    elif broken == "missing":
        del hub.repositories[ID]
    elif broken == "dead":
        hub.close()
    else:
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "README.md").write_text("Nothing.")
        hub.add(ID, tmp_path / "empty")
    with pytest.raises(WeightsUnavailable, match=sentence) as caught:
        locate(EncoderReference.parse(ID), here)
    assert f"Its files can also be put into {here.models_dir / 'encoders' / ID}." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dead_hub_is_no_obstacle_to_what_is_here(
    hub: Hub, here: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    locate(EncoderReference.parse(ID), here)
    hub.close()
    hub_files._NEWEST.clear()
    assert locate(EncoderReference.parse(ID), here).reference.revision == NEWEST
