"""Live sessions in the background: scores and words from the frames of a connection, and every way to end."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soundfile
import soxr
from av import AudioFrame

from ser_engine import Analyzer
from ser_engine.errors import SerError
from ser_engine.live.session import LiveSession
from tests.ser_engine.tiny_listener import tiny_analyzer
from tests.speech import RATE, Samples, silence, speech, speech_wav
from ui.live.job import CONNECT_S, LOST_S, LiveJob, play
from ui.live.state import ENDINGS, LiveState

OURS = {"live-scores", "live-words"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    analyzer = tiny_analyzer(tmp_path_factory.mktemp("tiny"))
    assert analyzer.model  # loaded, as it is by the time that somebody speaks
    return analyzer


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    until(lambda: not [thread for thread in threading.enumerate() if thread.name in OURS])


def until(met: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def frames(samples: Samples, rate: int = 48_000) -> Iterator[AudioFrame]:
    """Yield sound as WebRTC gives it: packed stereo, 16 bits, 20 ms a frame."""
    whole = np.clip(np.round(soxr.resample(samples, RATE, rate) * 32767), -32768, 32767).astype(np.int16)
    for first in range(0, len(whole) - rate // 50 + 1, rate // 50):
        part = whole[first : first + rate // 50]
        frame = AudioFrame.from_ndarray(np.stack([part, part], 1).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = rate
        yield frame


def spoken(analyzer: Analyzer, samples: Samples) -> LiveJob:
    """Return a session with this sound that was stopped."""
    # A clock that stands still: on a busy computer nothing is too late.
    job = LiveJob(analyzer, clock=lambda: 0.0)
    for frame in frames(samples):
        job.take(frame)
        if len(job._frames) > 25:
            until(lambda: len(job._frames) < 10)
    until(lambda: not job._frames)
    job.end("stopped")
    assert job.ended.wait(20)
    return job


def test_frames_of_a_connection_give_the_sessions_own_answers(tiny: Analyzer) -> None:
    sound = np.concatenate([speech(), silence(1.0)])
    job = spoken(tiny, sound)
    expected = LiveSession(tiny)
    for frame in frames(sound):
        expected.push(frame.to_ndarray().reshape(-1, 2), 48_000)
    expected.finish()
    assert [one.to_dict() for one in job.session.timeline] == [one.to_dict() for one in expected.timeline]
    assert {one.state for one in job.session.timeline} >= {"speech"} and not job.session.skipped
    assert job.ending == "stopped" and job.connected


def test_the_sound_can_be_saved_and_is_what_was_spoken(tiny: Analyzer) -> None:
    job = spoken(tiny, speech())
    samples, rate = soundfile.read(io.BytesIO(job.wav), dtype="float32")
    assert rate == 48_000 and job.wav is job.wav
    said = soxr.resample(speech(), RATE, rate)[: len(samples)]
    assert len(samples) >= 0.98 * len(said) and np.corrcoef(samples, said)[0, 1] > 0.999


def test_words_come_beside_the_scores_with_the_bundled_whisper(analyzer: Analyzer) -> None:
    job = spoken(analyzer, np.concatenate([speech(), silence(1.0)]))
    assert job.transcribed.wait(60)
    assert "dogs" in " ".join(segment.text for segment in job.words).lower()


def test_without_sound_it_gives_up_after_ten_seconds(tiny: Analyzer) -> None:
    now = [0.0]
    job = LiveJob(tiny, clock=lambda: now[0])
    now[0] = CONNECT_S - 0.1
    assert not job.ended.wait(0.1) and not job.connected
    now[0] = CONNECT_S + 0.1
    assert job.ended.wait(5) and job.ending == "unreachable" and job.transcribed.is_set()


def test_when_frames_stop_coming_the_browser_is_gone_and_the_session_stays(tiny: Analyzer) -> None:
    now = [0.0]
    job = LiveJob(tiny, clock=lambda: now[0])
    for frame in frames(speech()[: 2 * RATE]):
        job.take(frame)
    until(lambda: job.connected and not job._frames)
    now[0] = LOST_S + 0.5
    assert job.ended.wait(20) and job.ending == "lost" and job.session.duration_s == pytest.approx(2.0, abs=0.03)


def test_the_first_reason_counts_and_nothing_is_taken_after_it(tiny: Analyzer) -> None:
    job = LiveJob(tiny)
    job.end("stopped")
    job.end("left")
    assert job.ended.wait(5) and job.ending == "stopped"
    for frame in frames(silence(0.5)):
        job.take(frame)
    assert not job._frames


def test_sound_that_is_none_ends_it_with_a_sentence(tiny: Analyzer) -> None:
    state = LiveState(LiveJob(tiny))
    broken = AudioFrame.from_ndarray(np.full((1, 960), np.nan, np.float32), format="flt", layout="mono")
    broken.sample_rate = 48_000
    assert state.job is not None
    state.job.take(broken)
    assert state.job.ended.wait(5) and state.job.ending == "failed"
    assert "NaN" in state.ending and state.phase == "ended" and not state.active


def test_who_cannot_follow_skips_windows_and_says_so(tiny: Analyzer) -> None:
    job = LiveJob(tiny)
    for frame in list(frames(np.concatenate([speech()] * 4))):
        job.take(frame)
    job.end("stopped")
    assert job.ended.wait(30) and job.session.skipped > 0
    assert job.session.duration_s == pytest.approx(4 * len(speech()) / RATE, abs=0.05)


def test_the_connection_is_closed_whoever_ends_the_session(tiny: Analyzer) -> None:
    job, closed = LiveJob(tiny), threading.Event()
    job.hang_up = closed.set
    job.end("left")
    assert closed.wait(5) and job.ended.is_set()


def test_a_recording_is_played_whole_and_ends_with_itself(tiny: Analyzer) -> None:
    job = play(speech_wav(), tiny)
    assert job.ended.wait(20) and job.ending == "stopped" and not job.session.skipped
    assert any(update.scores for update in job.session.timeline)
    with pytest.raises(SerError):
        play(b"%PDF-1.7 not a recording", tiny)


def test_a_state_has_one_session_at_a_time_and_counts_them(tiny: Analyzer) -> None:
    state = LiveState()
    assert state.phase == "idle" and state.ending == ""
    state.start(tiny)
    first = state.job
    assert first is not None and state.phase == "connecting" and state.active
    state.start(tiny)
    assert state.job is first and state.number == 1
    first.take(next(frames(silence(0.1))))
    until(lambda: state.phase == "live")
    state.stop()
    assert state.phase == "ended" and state.ending == ENDINGS["stopped"] and not state.unreachable
    before = state.microphone
    state.start(tiny)
    assert state.job is not first and state.microphone != before
    state.replace(None)
    assert state.phase == "idle"
