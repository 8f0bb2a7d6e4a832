"""The measures of live sessions, in a few seconds: figures come from what was done."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import live
from ser_engine import Analyzer
from tests.ser_engine.tiny_listener import tiny_analyzer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    analyzer = tiny_analyzer(tmp_path_factory.mktemp("tiny"))
    analyzer.warm_up()
    return analyzer


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return live.conversation()


def test_the_sound_is_speech_with_pauses(sound: np.ndarray) -> None:
    seconds = len(sound) / live.RATE
    quiet = np.mean(np.abs(sound) < 1e-4)
    assert 25 < seconds < 60 and 0.3 < quiet < 0.8


def test_latency_is_that_of_windows_that_were_scored(tiny: Analyzer, sound: np.ndarray) -> None:
    found = live.latency(tiny, sound, 2.2)
    assert 1 <= len(found) <= 3
    # The resampler alone holds back some 40 ms.
    assert all(0.02 < seconds < 2 for seconds in found)


def test_sessions_are_counted_up_to_the_most(tiny: Analyzer, sound: np.ndarray) -> None:
    assert live.sessions(tiny, sound, 1.6, most=2) == 2


def test_sessions_that_skip_are_not_held(tiny: Analyzer, sound: np.ndarray) -> None:
    assert live.sessions(tiny, sound, 1.6, most=2, max_lag_s=-1.0) == 0


def test_memory_of_a_session_hardly_grows(tiny: Analyzer, sound: np.ndarray) -> None:
    assert 0 <= live.memory_growth_mb(tiny, sound, 20.0) < 20


def test_the_keys_are_the_agreed_ones(tiny: Analyzer) -> None:
    measured = live.measure(latency_s=1.2, sessions_s=1.2, hour_s=4.0, most=1, analyzer=tiny)
    assert list(measured) == ["live_latency_p50", "live_latency_p95", "live_sessions", "live_memory_growth_mb"]
    assert 0 < measured["live_latency_p50"] <= measured["live_latency_p95"] and measured["live_sessions"] == 1
