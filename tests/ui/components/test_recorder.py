"""What the page takes for a recording, of all that a browser may send."""

from __future__ import annotations

import base64
import io
import wave

import pytest

from ser_engine.errors import InvalidAudio
from ui.components.recorder import SECONDS, decode, max_base64


def wav(rate: int = 48_000, frames: int | None = None, channels: int = 1, width: int = 2) -> bytes:
    """Return a wav file of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(width * channels * (3 * rate if frames is None else frames)))
    return buffer.getvalue()


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_three_seconds_at_any_rate_of_a_browser_are_taken_as_they_are(rate: int) -> None:
    assert decode(as_text(wav(rate))) == wav(rate)


def test_another_length_is_taken_where_it_is_asked_for() -> None:
    long = wav(frames=15 * 48_000)
    assert decode(as_text(long), 15) == long
    for sent, seconds in ((long, SECONDS), (wav(), 15)):
        with pytest.raises(InvalidAudio):
            decode(as_text(sent), seconds)


def test_a_recording_that_a_person_ends_has_any_length_up_to_the_longest() -> None:
    for frames in (1, 7 * 48_000 + 5, 60 * 48_000):
        assert decode(as_text(wav(frames=frames)), 0, 60) == wav(frames=frames)
    for frames in (0, 60 * 48_000 + 1):
        with pytest.raises(InvalidAudio):
            decode(as_text(wav(frames=frames)), 0, 60)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        7,
        {"recording": "UklGRg=="},
        b"UklGRg==",
        "",
        "not base64!",
        "ü",
        as_text(b"not a recording"),
        as_text(b"RIFF"),
        as_text(wav()[:-2]),
        as_text(wav()[:30]),
        as_text(wav(frames=0)),
        as_text(wav(frames=143_999)),
        as_text(wav(frames=144_001)),
        as_text(wav(channels=2)),
        as_text(wav(width=1)),
        as_text(wav(rate=4_000)),
        as_text(wav(rate=384_000)),
        as_text(wav()).replace("A", "?", 1),
        "A" * (max_base64(SECONDS) + 4),
    ],
)
def test_anything_else_is_refused_in_one_sentence(sent: object) -> None:
    with pytest.raises(InvalidAudio, match=r"^The recording arrived damaged; please record again\.$"):
        decode(sent)
