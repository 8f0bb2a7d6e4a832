"""A recording played to a live session, in Python and by the verb `live`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analyzer
from ser_engine.cli.main import main
from ser_engine.live.player import format_update, play_recording
from ser_engine.live.session import LiveSession
from ser_engine.types import Recording, SourceInfo
from tests.ser_engine.tiny_listener import LABELS, tiny_analyzer
from tests.speech import RATE, encode, silence, speech

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("live")
    tiny_analyzer(home)
    (home / "talk.wav").write_bytes(encode(np.concatenate([speech(), silence(4)])))
    return home


@pytest.fixture
def tiny(home: Path) -> Analyzer:
    return tiny_analyzer(home)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith("SER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SER_MODELS_DIR", str(home / "models"))
    monkeypatch.setenv("SER_MODEL", "tiny")


def recording(seconds: float = 4.0) -> Recording:
    samples = np.tile(speech(), 3)[: round(seconds * RATE)]
    return Recording(samples, RATE, SourceInfo("talk", "WAV", "PCM_16", 1, RATE, 0))


class Watch:
    """A clock that passes while somebody sleeps or works."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def test_a_file_gives_what_one_push_gives(tiny: Analyzer) -> None:
    at_once = LiveSession(tiny)
    expected = at_once.push(recording().samples, RATE) + at_once.finish()
    updates = [update.to_dict() for update in play_recording(recording(), LiveSession(tiny))]
    assert updates == [update.to_dict() for update in expected] and len(updates) == 7


def test_real_time_waits_for_each_chunk_and_then_gives_the_same(tiny: Analyzer) -> None:
    watch = Watch()
    session = LiveSession(tiny, clock=watch)
    updates = [update.to_dict() for update in play_recording(recording(), session, True, watch, watch.sleep)]
    assert watch.slept == pytest.approx(4.0) and session.skipped == 0
    assert updates == [update.to_dict() for update in play_recording(recording(), LiveSession(tiny))]


def test_slow_updates_skip_windows_and_do_not_fall_behind(tiny: Analyzer) -> None:
    watch = Watch()
    session = LiveSession(tiny, clock=watch)
    late = []
    for update in play_recording(recording(9.0), session, True, watch, watch.sleep):
        watch.now += 1.2  # an answer takes more than two hops
        late.append(watch.now - update.end)
    assert len(late) + session.skipped == 17 and session.skipped >= 8 and len(late) >= 6
    assert max(late) < 1.2 + 1.0 + 0.2 and late[-1] < 2.0


def test_the_verb_prints_a_line_for_each_window(home: Path, capsys: Captured) -> None:
    assert main(["live", str(home / "talk.wav")]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and len(lines) == 14
    assert lines[3].split()[:4] == ["0.0", "to", "2.5", "s"] and lines[3].split()[4] in LABELS
    assert lines[-1].split()[4] == "silence"


def test_json_groups_window_hop_and_gate(home: Path, capsys: Captured) -> None:
    command = ["live", str(home / "talk.wav"), "--json", "--groups", "--window", "2", "--hop", "2", "--gate", "rms"]
    assert main(command) == 0
    updates = [json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines()]
    assert [(update["start"], update["end"]) for update in updates[:-1]] == [(0, 2), (2, 4), (4, 6)]
    assert list(updates[0]) == ["start", "end", "state", "top", "sure", "scores", "speech_s", "level_db", "skipped"]
    assert set(updates[0]["scores"]) == {"angry or disgust", "fearful or surprised", "happy", "sad"}
    assert updates[0]["top"] in updates[0]["scores"] and sum(updates[0]["scores"].values()) == pytest.approx(1)
    assert (updates[2]["state"], updates[2]["scores"], updates[2]["top"]) == ("silence", None, None)


def test_in_real_time_the_verb_takes_as_long_as_the_recording(home: Path, capsys: Captured) -> None:
    (home / "short.wav").write_bytes(encode(speech()[: round(1.5 * RATE)]))
    begun = time.monotonic()
    assert main(["live", "--realtime", str(home / "short.wav")]) == 0
    assert time.monotonic() - begun >= 1.5
    assert capsys.readouterr().out  # one window or two: a busy computer skips one


@pytest.mark.parametrize(
    ("arguments", "word"), [(["nothing.wav"], "no file"), (["--window", "0.2"], "window"), (["--hop", "9"], "window")]
)
def test_errors_take_one_line(home: Path, arguments: list[str], word: str, capsys: Captured) -> None:
    given = arguments if arguments[-1].endswith(".wav") else [*arguments, str(home / "talk.wav")]
    assert main(["live", *given]) == 2
    out, err = capsys.readouterr()
    assert out == "" and word in err and len(err.splitlines()) == 1


def test_a_line_counts_the_windows_skipped(tiny: Analyzer) -> None:
    session = LiveSession(tiny)
    session.push(silence(1.4), RATE, behind_s=5.0)
    (update,) = session.finish()
    assert format_update(update).endswith("1 skipped") and "silence" in format_update(update)
