"""Several visitors at once: a queue that is fair between them, with the place of each on the page."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from ser_engine import Analyzer
from ser_engine.fair_queue import FairQueue
from tests.speech import speech_wav
from tests.tiny_models import heads_analyzer
from ui import access, engine
from ui.listen import wording
from ui.listen.job import Job
from ui.session import Recording

APP = Path(__file__).resolve().parents[3] / "app.py"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return heads_analyzer(tmp_path_factory.mktemp("queue"))


def test_a_visitor_with_many_recordings_does_not_keep_others_waiting(tiny: Analyzer) -> None:
    queue, ended = FairQueue(1, each=2), []
    recording = Recording(speech_wav("It is eleven o'clock."), "eleven.wav")
    hold = queue.join("someone")
    jobs = {f"many{n}": Job(tiny, recording, queue=queue, visitor="many") for n in range(4)}
    jobs |= {name: Job(tiny, recording, queue=queue, visitor=name) for name in ("one", "two")}
    assert {name: job.place for name, job in jobs.items()} == {
        "many0": 1, "one": 2, "two": 3, "many1": 4, "many2": 5, "many3": 6,
    }  # fmt: skip

    def watch(name: str) -> None:
        assert jobs[name].ended.wait(60)
        ended.append(name)

    threads = [threading.Thread(target=watch, args=(name,)) for name in jobs]
    for thread in threads:
        thread.start()
    hold.leave()
    for thread in threads:
        thread.join(60)
    assert ended[:3] == ["many0", "one", "two"] and len(ended) == 6
    assert all(job.analysis is not None and job.place == 0 for job in jobs.values())
    assert queue.running == queue.waiting == 0


def test_a_recording_that_is_not_wanted_any_more_leaves_the_queue(tiny: Analyzer) -> None:
    queue = FairQueue(1)
    with queue.join("someone"):
        job = Job(tiny, Recording(b"", "empty.wav"), queue=queue, visitor="a")
        assert job.place == 1
        job.abandon()
        assert job.ended.wait(10) and job.analysis is None
        assert queue.waiting == 0


def test_a_long_recording_lets_others_go_first_and_is_finished(tmp_path: Path) -> None:
    from dataclasses import replace

    short = heads_analyzer(tmp_path)
    stretches = Analyzer(replace(short.settings, stretch_s=4.0))
    queue = FairQueue(1, quantum_s=0.0)
    long = Job(stretches, Recording(speech_wav("It is eleven o'clock. " * 12), "long.wav"), queue=queue, visitor="a")
    while not long.seconds[1]:
        time.sleep(0.005)
    other = Job(short, Recording(speech_wav("It is eleven o'clock."), "short.wav"), queue=queue, visitor="b")
    assert other.ended.wait(60) and not long.ended.is_set()
    assert long.ended.wait(60) and long.analysis is not None and long.analysis.timeline


def test_the_page_shows_the_place_and_then_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    draw = DeltaGenerator.html

    def note(self: DeltaGenerator, body: str, **rest: object) -> DeltaGenerator:
        drawn.append(body)
        return draw(self, body, **rest)

    monkeypatch.setattr(DeltaGenerator, "html", note)
    st.cache_resource.clear()
    page = AppTest.from_file(str(APP), default_timeout=300).run()
    *first, last = [engine.queue().join(f"visitor {number}") for number in range(engine.queue().places + 1)]
    for seconds, turns in ((1.5, first), (3.0, [last])):
        for turn in turns:
            threading.Timer(seconds, turn.leave).start()
    sound = speech_wav("It is eleven o'clock.")
    page.file_uploader(key="upload").set_value(("eleven.wav", sound, "audio/wav")).run()
    assert page.session_state["session"].result is not None
    shown = [text for text in drawn if "eleven.wav waits." in text]
    assert any("number 2 in the queue" in text for text in shown) and "it is next" in shown[-1]


def test_no_place_is_no_sentence() -> None:
    assert wording.queued(0) == ""
    assert wording.queued(3).endswith("it is number 3 in the queue.")


@pytest.mark.parametrize(
    ("email", "verified", "emails", "domains", "allowed"),
    [
        ("ada@example.org", True, (), (), True),
        ("", False, (), (), True),
        ("ada@example.org", True, ("Ada@Example.org",), (), True),
        ("ada@example.org", True, (), ("@example.org",), True),
        ("ada@example.org", False, (), ("example.org",), False),
        ("ada@sub.example.org", True, (), ("example.org",), False),
        ("ada@example.org.evil.com", True, (), ("example.org",), False),
        ("", True, (), ("example.org",), False),
    ],
)
def test_accounts_that_are_let_in(
    email: str, verified: bool, emails: tuple[str, ...], domains: tuple[str, ...], allowed: bool
) -> None:
    assert access.allows(email, verified, emails, domains) == allowed
