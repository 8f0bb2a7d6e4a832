"""The page as a person meets it: real Chromium, real server, real engine."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Locator, Page, expect

from ser_engine import Analysis, Analyzer, Settings
from ser_engine.errors import SerError
from tests.browser.conftest import NewPage
from tests.browser.pages import PATIENCE_MS, PROJECT, Server, Watch, answered, own_address, settle, upload
from tests.speech import encode, noise, silence, tone
from tests.speech import speech_wav as speak
from tests.tiny_models import write_models
from ui import wording

pytestmark = pytest.mark.browser

FIRST_PAINT_S = 10.0
"""From asking a server that has just started to the title; on an idle machine it is one to two seconds."""
STEADY, GOOD = 0.02, 0.1
"""Largest cumulative layout shift while an answer arrives; the second already counts as good."""
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts.push(entry.value);
}).observe({ type: "layout-shift" });
"""
DOGS, KIDS = "Dogs are sitting by the door.", "Kids are talking by the door."
LONG = f"{DOGS} {KIDS} " * 2
NOT_AUDIO = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n" * 20


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    """Return an engine of the test's own, to compare with what the page says."""
    return Analyzer()


@pytest.fixture(scope="module")
def dogs() -> bytes:
    return speak(DOGS)


@pytest.fixture(scope="module")
def kids() -> bytes:
    return speak(KIDS)


def open_page(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.get_by_role("heading", name="What does this voice sound like?")).to_be_visible(timeout=30_000)
    expect(page.locator("input[type=file]")).to_be_attached(timeout=30_000)
    return page


def words(page: Page) -> Locator:
    """Return the field of the transcript."""
    return page.get_by_label("Transcript (editable)")


def download(page: Page, button: str) -> str:
    with page.expect_download() as taken:
        page.get_by_role("button", name=button).click()
    return Path(taken.value.path()).read_text(encoding="utf-8")


def agrees(page: Page, expected: Analysis) -> None:
    """Check that what the page shows is what the engine says."""
    assert expected.transcript is not None
    expect(
        page.get_by_role("heading", name=wording.headline(expected.scores, expected.threshold), exact=True)
    ).to_be_visible()
    expect(page.get_by_text(wording.explanation(expected.scores, expected.threshold))).to_be_visible()
    expect(words(page)).to_have_value(expected.transcript.text)
    answer = json.loads(download(page, "Download JSON"))
    assert answer["top"] == expected.scores.top and answer["transcript"]["text"] == expected.transcript.text
    assert answer["scores"] == pytest.approx(expected.scores.to_dict(), abs=1e-3)


def healthy(page: Page) -> bool:
    """Whether nothing on the page looks like a program's inside."""
    text = page.locator("body").inner_text()
    inside = re.search(r"Traceback|Error:|Exception|\.py\b|\bline \d", text)
    return page.locator("[data-testid=stException]").count() == 0 and inside is None


def given_sound(page: Page) -> bytes:
    """Return the wav file behind the player of the recording as it was given."""
    source = page.locator("audio").first.get_attribute("src")
    fetched = """async (source) => {
      const bytes = new Uint8Array(await (await fetch(source)).arrayBuffer());
      return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
    }"""
    return base64.b64decode(page.evaluate(fetched, source))


def test_an_uploaded_recording_is_answered_as_the_engine_answers_it(
    new_page: NewPage, watches: dict[Page, Watch], app_url: str, dogs: bytes, analyzer: Analyzer
) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    agrees(page, analyzer.analyze(dogs, name="dogs.wav"))
    for step in ("Decode", "Clean", "Transcribe", "Classify"):
        expect(page.locator(".steps .done", has_text=step)).to_contain_text(" s")
    expect(page.locator("audio")).to_have_count(2)
    assert healthy(page)
    # Nothing was asked of any other host, and nothing went wrong inside the page.
    page.get_by_role("link", name="About").click()
    expect(page.get_by_role("heading", name="Privacy")).to_be_visible()
    assert watches[page].hosts == {"127.0.0.1"}
    assert not watches[page].errors


@pytest.mark.corpora
def test_a_real_recording_is_answered_with_its_own_words(
    new_page: NewPage, app_url: str, real_speech_wav: Path, analyzer: Analyzer
) -> None:
    data = real_speech_wav.read_bytes()
    page = open_page(new_page(), app_url)
    upload(page, "actor.wav", data)
    answered(page, "actor.wav")
    agrees(page, analyzer.analyze(data, name="actor.wav"))
    expect(words(page)).to_have_value(re.compile("dogs are sitting by the door", re.IGNORECASE))


def record_and_compare(page: Page, analyzer: Analyzer) -> Analysis:
    """Record three seconds, and check that the answer is the engine's for those very samples."""
    page.get_by_role("button", name="Record 3 s").click()
    answered(page, "Your recording.wav")
    sound = given_sound(page)
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert len(samples) == 3 * rate
    expected = analyzer.analyze(sound, name="Your recording.wav")
    agrees(page, expected)
    return expected


def test_three_recorded_seconds_are_answered_as_the_engine_answers_those_samples(
    new_page: NewPage, app_url: str, speech_wav: Path, analyzer: Analyzer
) -> None:
    record_and_compare(open_page(new_page(speech_wav), app_url), analyzer)


@pytest.mark.corpora
def test_three_recorded_seconds_of_an_actor_are_transcribed(
    new_page: NewPage, app_url: str, real_speech_wav: Path, analyzer: Analyzer
) -> None:
    expected = record_and_compare(open_page(new_page(real_speech_wav), app_url), analyzer)
    assert expected.transcript is not None and "door" in expected.transcript.text.lower()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("speech.wav", b"nothing")
    return file.getvalue()


def bad_files(speech: bytes) -> dict[str, bytes]:
    """Return what people upload by mistake, by file name."""
    return {
        "empty.wav": b"",
        "no samples.wav": encode(silence(0)),
        "text.wav": b"Dear all, please find the recording attached.\n" * 20,
        "letter.wav": NOT_AUDIO,
        "archive.wav": zipped(),
        "picture.wav": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200),
        "cut short.wav": speech[:30],
        "not numbers.wav": encode(np.full(32_000, np.nan, np.float32), codec="FLOAT"),
        "silence.wav": encode(silence(2)),
        "tone.wav": encode(tone(2)),
        "noise.wav": encode(noise(2)),
        "blink.wav": encode(noise(0.05)),
        "many channels.wav": encode(noise(33).reshape(-1, 33)),
    }


def test_every_bad_file_gets_one_sentence_and_a_good_one_after_it_an_answer(
    new_page: NewPage, app_url: str, app: Server, dogs: bytes, analyzer: Analyzer
) -> None:
    page = open_page(new_page(), app_url)
    for name, data in bad_files(dogs).items():
        with pytest.raises(SerError) as refusal:
            analyzer.analyze(data, name=name)
        upload(page, name, data)
        expect(page.get_by_role("alert")).to_have_text([str(refusal.value)], timeout=PATIENCE_MS)
        assert healthy(page), name
        page.get_by_role("button", name=f"Remove {name}").click()
        expect(page.get_by_role("alert")).to_have_count(0)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert "Traceback" not in app.log()


def test_a_bad_file_after_a_good_one_loses_nothing(new_page: NewPage, app_url: str, dogs: bytes, kids: bytes) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    expect(words(page)).to_have_value(DOGS)
    upload(page, "letter.wav", NOT_AUDIO)
    expect(page.get_by_role("alert")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("The result for dogs.wav is still shown below.")).to_be_visible()
    expect(words(page)).to_have_value(DOGS)
    assert healthy(page)
    upload(page, "kids.wav", kids)
    answered(page, "kids.wav")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(words(page)).to_have_value(KIDS)


def test_a_bad_file_at_once_after_an_answer_leaves_its_words(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    """The run that shows the answer is cut off by the next upload; its transcript must not come out empty."""
    page = open_page(new_page(), app_url)
    for _ in range(3):
        upload(page, "dogs.wav", dogs)
        expect(page.get_by_text("Analyzed in")).to_be_visible(timeout=PATIENCE_MS)
        upload(page, "letter.wav", NOT_AUDIO)
        expect(page.get_by_role("alert")).to_be_visible(timeout=PATIENCE_MS)
        expect(words(page)).to_have_value(DOGS)
        page.reload()
        open_page(page, app_url)


def test_a_recording_over_the_limit_is_refused_in_one_sentence(
    new_page: NewPage, app_server: Callable[..., Server]
) -> None:
    limits = {"SER_MAX_SECONDS": "2"}
    page = open_page(new_page(), app_server("app.py", env=limits).url)
    long = speak(f"{DOGS} {KIDS}")
    with pytest.raises(SerError) as refusal:
        Analyzer(Settings(max_seconds=2)).analyze(long, name="long.wav")
    upload(page, "long.wav", long)
    expect(page.get_by_role("alert")).to_have_text([str(refusal.value)], timeout=PATIENCE_MS)
    assert healthy(page)


def fails_then_uploads(page: Page, sentence: str, dogs: bytes) -> None:
    """Check that a missing microphone is reported in a sentence, and that uploading still works."""
    expect(page.get_by_text(sentence)).to_be_visible(timeout=30_000)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    assert healthy(page)


def test_a_blocked_microphone_is_reported_and_uploading_works(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    page = open_page(new_page(deny_microphone=True), app_url)
    page.get_by_role("button", name="Record 3 s").click()
    fails_then_uploads(page, "The microphone is blocked", dogs)


def test_a_missing_microphone_is_reported_and_uploading_works(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    page = open_page(new_page(no_microphone=True), app_url)
    page.get_by_role("button", name="Record 3 s").click()
    fails_then_uploads(page, "No microphone was found", dogs)


def test_a_page_on_plain_http_says_so_and_uploading_works(
    new_page: NewPage, app_server: Callable[..., Server], dogs: bytes
) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but its own loopback")
    server = app_server("app.py", address="0.0.0.0")
    page = open_page(new_page(), f"http://{address}:{server.port}")
    fails_then_uploads(page, "Recording needs https or localhost", dogs)


def test_two_people_at_once_get_their_own_answers(
    new_page: NewPage, app_url: str, dogs: bytes, kids: bytes, analyzer: Analyzer
) -> None:
    one, other = open_page(new_page(), app_url), open_page(new_page(), app_url)
    upload(one, "dogs.wav", dogs)
    upload(other, "kids.wav", kids)
    answered(other, "kids.wav")
    answered(one, "dogs.wav")
    agrees(one, analyzer.analyze(dogs, name="dogs.wav"))
    agrees(other, analyzer.analyze(kids, name="kids.wav"))


def test_corrected_words_go_home_and_survive_a_visit_to_another_page(
    new_page: NewPage, app_url: str, dogs: bytes
) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    words(page).fill("Frogs are sitting by the door.")
    words(page).blur()
    expect(page.get_by_text("Edited by you")).to_be_visible()
    transcript = json.loads(download(page, "Download JSON"))["transcript"]
    assert transcript["text"] == "Frogs are sitting by the door." and transcript["edited"] is True
    assert "Frogs are sitting" in download(page, "Download CSV")
    page.get_by_role("link", name="About").click()
    expect(page.get_by_role("heading", name="Privacy")).to_be_visible()
    page.get_by_role("link", name="Listen").click()
    answered(page, "dogs.wav")
    expect(words(page)).to_have_value("Frogs are sitting by the door.")


def test_words_corrected_just_before_a_download_are_in_it(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    """The click that leaves the field is the click on the button: both reach the server together."""
    page = open_page(new_page(), app_url)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    for text in ("Frogs are sitting by the door.", "Hogs are sitting by the door."):
        words(page).fill(text)
        assert json.loads(download(page, "Download JSON"))["transcript"]["text"] == text


def choose(page: Page, model: str) -> None:
    page.locator(".st-key-model [role=combobox], .st-key-model input").first.click()
    page.get_by_role("option", name=model, exact=True).click()
    expect(page.locator("[role=listbox]")).to_have_count(0)
    page.wait_for_timeout(500)  # until the run that this begins is under way, so that `settle` sees it
    settle(page)


def written_shares(page: Page) -> list[str]:
    """Return the values next to the bars of the three modalities, in the order in which they are drawn."""
    return page.locator(".st-key-modalities .bars .bartext").all_text_contents()


def test_a_chosen_model_has_three_modalities_and_an_edited_transcript_changes_two_of_them(
    new_page: NewPage, app_server: Callable[..., Server], dogs: bytes, tmp_path: Path
) -> None:
    models = write_models(tmp_path / "models")
    page = open_page(new_page(), app_server("app.py", env={"SER_MODELS_DIR": str(models)}).url)
    choose(page, "tiny-words")
    upload(page, "dogs.wav", dogs)
    answered(page, "tiny-words")
    expect(page.get_by_role("heading", name="Audio and text")).to_be_visible()
    expect(page.locator(".st-key-modalities .barlayer .trace.bars")).to_have_count(3, timeout=30_000)
    expect(page.locator(".legend li")).to_have_text(["□By audio", "▨By text", "■Combined"])
    before = written_shares(page)
    assert len(before) == 12
    original = json.loads(download(page, "Download JSON"))
    words(page).fill("kids are talking it is eleven")
    words(page).blur()
    expect(page.get_by_text("Edited by you and scored again")).to_be_visible()
    settle(page)
    edited = json.loads(download(page, "Download JSON"))
    assert edited["modalities"]["audio"] == pytest.approx(original["modalities"]["audio"])
    for changed in ("text", "fused"):
        assert edited["modalities"][changed] != pytest.approx(original["modalities"][changed], abs=0.01)
    shares = sorted(wording.percent(share) for by in edited["modalities"].values() for share in by.values())
    expect(page.locator(".st-key-modalities .bars .bartext")).not_to_have_text(before)
    assert sorted(written_shares(page)) == shares
    (top, share), *_ = sorted(edited["scores"].items(), key=lambda pair: -pair[1])
    expect(page.get_by_text(f"The probability of {top} is {wording.percent(share)}")).to_be_visible()
    assert healthy(page)
    page.set_viewport_size({"width": 375, "height": 800})
    page.wait_for_timeout(500)
    assert fits(page)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("link", name="About").click()
    expect(page.get_by_text("The accuracy of this model has not been measured here.").first).to_be_visible()
    page.get_by_role("link", name="Listen").click()
    answered(page, "tiny-words")
    expect(words(page)).to_have_value("kids are talking it is eleven")
    expect(page.get_by_text("Edited by you and scored again")).to_be_visible()


def test_a_long_recording_has_a_timeline_with_a_table(new_page: NewPage, app_url: str) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "long.wav", speak(LONG))
    answered(page, "long.wav")
    expect(page.get_by_role("heading", name="Over time")).to_be_visible()
    page.get_by_text("As a table").last.click()
    expect(page.get_by_role("columnheader", name="Most probable")).to_be_visible()


def test_nothing_jumps_while_an_answer_arrives(new_page: NewPage, app_url: str, dogs: bytes, kids: bytes) -> None:
    page = open_page(new_page(init_script=SHIFTS), app_url)
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("button", name="Record 3 s")).to_be_visible()
    page.wait_for_timeout(1000)
    # A second file also brings the list of files.
    for name, data, most in (("dogs.wav", dogs, STEADY), ("kids.wav", kids, GOOD)):
        page.evaluate("window.shifts = []")
        upload(page, name, data)
        answered(page, name)
        page.wait_for_timeout(1500)
        assert sum(page.evaluate("window.shifts")) < most


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(new_page: NewPage, app_url: str, scheme: str) -> None:
    page = open_page(new_page(viewport=(375, 800), color_scheme=scheme), app_url)
    assert fits(page)
    upload(page, "a recording with quite a long name of its own, spoken by nobody.wav", speak(LONG))
    answered(page, "a recording")
    expect(page.locator(".js-plotly-plot")).to_have_count(5, timeout=30_000)
    assert fits(page)
    page.goto(f"{app_url}/about")
    expect(page.get_by_role("heading", name="Privacy")).to_be_visible()
    assert fits(page)


def fits(page: Page) -> bool:
    """Whether nothing on the page is wider than its window."""
    return page.evaluate("""() => [document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]
        .every((element) => element.scrollWidth <= window.innerWidth)""")


def test_everything_can_be_reached_and_used_by_keyboard(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    # A chart that arrives late takes the focus from what is being used.
    expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=30_000)
    page.wait_for_load_state("networkidle")
    wanted = {"Remove", "Record 3 s", "As a table", "Transcript", "Download JSON", "Download CSV", "Discard"}
    page.locator("h1").click()
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(FOCUSED)
        opens = "As a table" in name and "As a table" not in reached  # a second time round it would be closed again
        reached |= {word for word in wanted if word in name}
        if opens:
            page.keyboard.press("Enter")
            expect(page.get_by_role("columnheader", name="Probability")).to_be_visible()
    assert reached == wanted


def test_a_click_on_a_sentence_plays_it_and_it_is_highlighted(new_page: NewPage, app_url: str) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "both.wav", speak("Dogs are sitting by the door. I wonder what this is about."))
    answered(page, "both.wav")
    dogs, wonder = (page.get_by_role("button").filter(has_text=text) for text in ("Dogs are", "I wonder"))
    player = page.locator(".st-key-players audio").first
    wonder.click()
    expect(wonder).to_have_attribute("aria-current", "true")
    assert 2.5 < player.evaluate("player => player.currentTime") < 6
    assert dogs.get_attribute("aria-current") is None
    dogs.click()
    expect(dogs).to_have_attribute("aria-current", "true")
    expect(wonder).to_have_attribute("aria-current", "true")  # it goes on to the next
    expect(dogs).not_to_have_attribute("aria-current", "true")


FOCUSED = """() => {
  let element = document.activeElement;
  while (element.shadowRoot && element.shadowRoot.activeElement) element = element.shadowRoot.activeElement;
  return [element.getAttribute("aria-label"), element.innerText].join(" ");
}"""


def test_headings_are_in_order(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    page = open_page(new_page(), app_url)
    assert in_order(page)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    expect(page.get_by_role("heading", name="What these numbers can and cannot mean")).to_be_visible()
    assert in_order(page)
    page.goto(f"{app_url}/about")
    expect(page.get_by_role("heading", name="Privacy")).to_be_visible()
    assert in_order(page)


def in_order(page: Page) -> bool:
    """Whether the first heading is of level one and none skips a level downwards."""
    levels: list[Any] = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((h) => +h.tagName[1])")
    return levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_chart_says_in_words_what_it_shows(new_page: NewPage, app_url: str, dogs: bytes) -> None:
    page = open_page(new_page(), app_url)
    upload(page, "dogs.wav", dogs)
    answered(page, "dogs.wav")
    scores = json.loads(download(page, "Download JSON"))["scores"]
    best = max(scores, key=scores.get)
    alt = f"{best} {wording.percent(scores[best])}, "
    expect(page.get_by_label(f"{wording.MODALITIES['fused']}: {alt}")).to_have_count(1)
    expect(page.get_by_label(alt)).to_have_count(2)  # all emotions, and those by modality


def test_the_first_paint_does_not_wait_for_the_models(new_page: NewPage, app_server: Callable[..., Server]) -> None:
    server = app_server("app.py")
    page = new_page()
    begun = time.perf_counter()
    open_page(page, server.url)
    assert time.perf_counter() - begun < FIRST_PAINT_S


@pytest.mark.skipif(not os.environ.get("SER_SCREENSHOT"), reason="SER_SCREENSHOT names no file for the screenshot")
def test_the_screenshot_of_the_readme(
    new_page: NewPage, app_url: str, dogs: bytes, kids: bytes, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue("real_speech_wav").read_bytes() if os.environ.get("SER_DATA") else dogs
    page = open_page(new_page(viewport=(1200, 1120), device_scale_factor=1.5), app_url)
    for name, recording in (("kids.wav", kids), ("dogs.wav", data)):  # the first answer waits for the models
        upload(page, name, recording)
        answered(page, name)
    expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=30_000)
    page.wait_for_timeout(1500)
    path = PROJECT / os.environ["SER_SCREENSHOT"]
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert path.stat().st_size > 20_000


def test_the_moments_line_up_with_the_waveform(app_url: str, new_page: NewPage, watches: dict[Page, Watch]) -> None:
    page = new_page()
    page.goto(app_url)
    upload(page, "long.wav", speak(LONG))
    answered(page, "long.wav")
    expect(page.locator(".st-key-why")).to_have_count(0)
    page.get_by_text("Why this answer?").click()
    expect(page.get_by_text("Zeiler and Fergus, 2014")).to_be_visible(timeout=PATIENCE_MS)
    settle(page)
    expect(page.locator(".st-key-why .js-plotly-plot")).to_have_count(2)
    charts = page.locator(".js-plotly-plot", has=page.get_by_text("0 s", exact=True))
    # The timeline, whose labels take more room, the waveform, the moments and the spectrogram.
    boxes = [chart.locator(".xtick text").first.bounding_box() for chart in charts.all()]
    _, *lefts = [box["x"] for box in boxes if box]
    assert len(lefts) == 3 and max(lefts) - min(lefts) < 1
    assert not watches[page].errors
