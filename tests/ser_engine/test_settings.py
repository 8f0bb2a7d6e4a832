"""Settings: what the environment says is what one gets, and what means nothing is told by its name."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from ser_engine import Analyzer, Settings
from ser_engine.errors import InvalidSettings
from ser_engine.settings import PROJECT, WHISPER_SIZES, variable

# Every setting, as the environment gives it and as it should arrive; never the default.
GIVEN: dict[str, tuple[str, Any]] = {
    "model": ("ant", "ant"),
    "models_dir": ("/srv/models", Path("/srv/models")),
    "whisper": ("large-v3", "large-v3"),
    "whisper_dir": ("~/whisper", Path.home() / "whisper"),
    "allow_download": ("yes", True),
    "download_timeout_s": ("2.5", 2.5),
    "transcribe": ("off", False),
    "words": ("on", True),
    "language": ("de", "de"),
    "noise_reduction": ("always", "always"),
    "track": ("2", 2),
    "channels": ("split", "split"),
    "speakers": ("3", "3"),
    "channel_names": ("agent, customer", "agent, customer"),
    "max_bytes": ("1000", 1000),
    "max_seconds": ("1e3", 1000.0),
    "stretch_s": ("60", 60.0),
    "min_speech_s": ("1", 1.0),
    "data": ("corpora", Path("corpora")),
    "emobox": ("/srv/emobox", Path("/srv/emobox")),
    "cache": ("/tmp/cache of mine", Path("/tmp/cache of mine")),
    "results": ("measured", Path("measured")),
    "batch_sources": ("/srv/calls", "/srv/calls"),
    "batch_results": ("/srv/batches", Path("/srv/batches")),
    "batch_days": ("30", 30.0),
    "threads": ("3", 3),
    "engine": ("torch", "torch"),
    "device": ("cpu", "cpu"),
    "turn": ("turn:turn.example.org:3478 stun:b", "turn:turn.example.org:3478 stun:b"),
    "turn_user": ("ada", "ada"),
    "turn_password": ("secret", "secret"),
}

BAD = {
    "SER_WHISPER": ["huge", "Base", "base "],
    "SER_NOISE_REDUCTION": ["on", "Always", "1"],
    "SER_ALLOW_DOWNLOAD": ["perhaps", "2", " "],
    "SER_TRANSCRIBE": ["nope", "-1"],
    "SER_WORDS": ["many"],
    "SER_DOWNLOAD_TIMEOUT_S": ["soon", "0", "-3", "nan"],
    "SER_TRACK": ["first", "-1", "1.5"],
    "SER_CHANNELS": ["left", "0", "-1", "1.5", "²"],
    "SER_SPEAKERS": ["on", "0", "-2", "2.5", "²"],
    "SER_CHANNEL_NAMES": ["agent,", "agent,agent", " "],
    "SER_MAX_BYTES": ["100 MB", "1.5", "0", "-1", "1e9"],
    "SER_MAX_SECONDS": ["30min", "0", "-0.0", "nan"],
    "SER_STRETCH_S": ["5min", "0", "-1", "nan"],
    "SER_MIN_SPEECH_S": ["0,3", "0", "-1", "nan"],
    "SER_BATCH_DAYS": ["a week", "0", "-1", "nan"],
    "SER_THREADS": ["all", "-1", "1.0"],
    "SER_ENGINE": ["onnxruntime", "Torch", "1"],
    "SER_DEVICE": ["gpu", "CUDA", "cuda:1", "0"],
    "SER_TURN": ["turn.example.org"],
    "SER_CACHE": ["~nobody-of-that-name/cache"],
}


def test_every_setting_can_be_given() -> None:
    assert set(GIVEN) == {item.name for item in fields(Settings)}
    settings = Settings.from_env({f"SER_{name.upper()}": text for name, (text, _) in GIVEN.items()})
    for name, (_, value) in GIVEN.items():
        assert getattr(settings, name) == value, name
        assert type(getattr(settings, name)) is type(value), name
        assert getattr(Settings(), name) != value, f"{name}: the default proves nothing"


@pytest.mark.parametrize("name", GIVEN)
def test_one_setting_leaves_the_others_alone(name: str) -> None:
    text, value = GIVEN[name]
    assert Settings.from_env({variable(name): text}) == Settings(**{name: value})


def test_nothing_or_nothing_of_ours_given_means_the_defaults() -> None:
    foreign = {"SER_TYPO": "1", "MAX_BYTES": "1", "ser_threads": "1", "PATH": "/bin"}
    assert Settings.from_env({}) == Settings.from_env(foreign) == Settings()
    assert Settings.from_env({variable(name): "" for name in GIVEN}) == Settings()


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("On", True), ("0", False), ("No", False)])
def test_yes_and_no_have_many_names(text: str, value: bool) -> None:
    assert Settings.from_env({"SER_TRANSCRIBE": text}).transcribe is value


@pytest.mark.parametrize("size", WHISPER_SIZES)
def test_every_size_of_whisper_is_known(size: str) -> None:
    assert Settings.from_env({"SER_WHISPER": size}).whisper == size


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_value_that_means_nothing_is_one_sentence_that_names_the_variable(name: str, text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env({name: text})
    said = str(caught.value)
    assert said.startswith(f"{name} ") and said.endswith((f"“{text}”.", f"not {text}.", f"not {float_of(text)}."))
    assert "\n" not in said and len(said) < 200


def float_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def test_every_setting_that_can_be_bad_is_tried() -> None:
    texts = {item.name for item in fields(Settings) if item.default == "" or isinstance(item.default, Path)}
    assert {variable(item.name) for item in fields(Settings) if item.name not in texts} <= set(BAD)


def test_what_python_code_gives_is_checked_as_well() -> None:
    for bad in ({"whisper": "huge"}, {"noise_reduction": "on"}, {"max_bytes": 0}, {"threads": -1}):
        with pytest.raises(InvalidSettings):
            Settings(**bad)  # type: ignore[arg-type]


def test_settings_do_not_change_once_made() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().threads = 2  # type: ignore[misc]


def test_the_environment_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_MIN_SPEECH_S", "0.7")
    assert Settings.from_env().min_speech_s == Analyzer().settings.min_speech_s == 0.7
    assert Settings().min_speech_s == 0.3
    monkeypatch.setenv("SER_MIN_SPEECH_S", "much")
    with pytest.raises(InvalidSettings, match="SER_MIN_SPEECH_S"):
        Analyzer()


def test_the_command_line_says_it_and_nothing_else() -> None:
    command = [sys.executable, "-m", "ser_engine", "analyze", "voice.wav"]
    environ = os.environ | {"SER_MAX_BYTES": "100 MB"}
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "SER_MAX_BYTES should be a whole number, not “100 MB”.\n"


def test_no_other_file_reads_the_environment() -> None:
    readers = [
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "ser_engine").rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ("os.environ", "getenv"))
    ]
    # RANK is torchrun's; the others set what worker processes and libraries read.
    others = {
        "ser_engine/batch/local.py",
        "ser_engine/batch/ray.py",
        "ser_engine/data/pool.py",
        "ser_engine/memory.py",
        "ser_engine/speakers/pyannote_pipeline.py",
        "ser_engine/training/state.py",
    }
    assert set(readers) == {"ser_engine/settings.py"} | others


def test_other_defaults_give_way_to_the_environment() -> None:
    assert Settings.from_env({}, max_seconds=5.0).max_seconds == 5
    assert Settings.from_env({"SER_MAX_SECONDS": "7"}, max_seconds=5.0).max_seconds == 7
