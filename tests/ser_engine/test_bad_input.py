"""Whatever is handed in that cannot be judged: one sentence, and the next recording is answered as if nothing was."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from ser_engine import Analyzer, Settings
from ser_engine.cli.main import main
from ser_engine.errors import InvalidAudio, NoSpeech, SerError, TooLarge
from tests.speech import RATE, clicks, encode, music, noise, silence, speech, speech_wav, tone


@dataclass(frozen=True)
class Bad:
    """Bytes, what they are refused with, and the settings under which they are."""

    data: bytes
    error: type[SerError]
    said: str
    settings: dict[str, float] = field(default_factory=dict)


def with_value(value: float) -> bytes:
    samples = speech()
    samples[20_000:20_800] = value
    return encode(samples, codec="FLOAT")


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    """Return `data` with other bytes at some offsets."""
    changed = bytearray(data)
    for offset, new in changes:
        changed[offset : offset + len(new)] = new
    return bytes(changed)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("voice.wav", speech_wav())
    return file.getvalue()


VOICE = speech_wav()
CLAIMS_4_GB = (4, struct.pack("<I", 2**32 - 1)), (40, struct.pack("<I", 2**32 - 37))
# Of the clip's words, after a third of a second of silence, so much is left.
BLINK = speech()[: round(0.52 * RATE)]

BAD = {
    "empty file": Bad(b"", InvalidAudio, "empty"),
    "0 samples": Bad(encode(silence(0)), InvalidAudio, "0 samples"),
    "truncated header": Bad(VOICE[:30], InvalidAudio, "cut off"),
    "truncated data": Bad(VOICE[: len(VOICE) // 7], NoSpeech, "of speech was found"),
    "truncated flac": Bad(encode(speech(), RATE, "FLAC")[:60], InvalidAudio, "cut off"),
    "text": Bad(b"Kids are talking by the door.\n" * 99, InvalidAudio, "text document"),
    "pdf": Bad(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", InvalidAudio, "PDF"),
    "zip": Bad(archive(), InvalidAudio, "ZIP"),
    "png": Bad(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(300), InvalidAudio, "PNG"),
    "nan": Bad(with_value(np.nan), InvalidAudio, "NaN"),
    "infinite": Bad(with_value(-np.inf), InvalidAudio, "infinite"),
    "all zeros": Bad(encode(silence(3)), NoSpeech, "silent"),
    "dither": Bad(encode(noise(3, 1e-5), codec="PCM_24"), NoSpeech, "silent"),
    "tone": Bad(encode(tone(3)), NoSpeech, "No speech"),
    "noise": Bad(encode(noise(3)), NoSpeech, "No speech"),
    "music": Bad(encode(music(4)), NoSpeech, "No speech"),
    "clicks": Bad(encode(clicks(3)), NoSpeech, "No speech"),
    "a constant": Bad(encode(np.full(3 * RATE, 0.3, np.float32)), NoSpeech, "silent"),
    "under 0.3 s of speech": Bad(encode(BLINK), NoSpeech, "at least 0.3 s"),
    "one sample": Bad(encode(tone(1)[5:6]), NoSpeech, "silent"),
    "too many bytes": Bad(encode(noise(8)), TooLarge, "MB", {"max_bytes": 200_000}),
    "too many seconds": Bad(encode(noise(8)), TooLarge, "longer than 6 seconds", {"max_seconds": 6}),
    "4 GB claimed, nothing there": Bad(patched(encode(silence(0)), *CLAIMS_4_GB), InvalidAudio, "0 samples"),
    "unknown codec": Bad(patched(VOICE, (20, b"\x34\x12")), InvalidAudio, "codec"),
    "33 channels": Bad(encode(np.stack([speech()] * 33, axis=1)), TooLarge, "33 channels"),
}


def one_sentence(text: str) -> None:
    """Fail unless `text` is something to show to a person."""
    assert text.endswith((".", "?"))
    assert text[0].isupper() or text.startswith("“")
    assert "\n" not in text
    assert not {"Traceback", "Error", "Exception", "None"} & set(text.replace(":", " ").split())
    assert 10 < len(text) < 200


@pytest.fixture(scope="module")
def good(analyzer: Analyzer) -> dict[str, float]:
    """The scores of a good recording that nothing went before."""
    return analyzer.analyze(VOICE, transcribe=False).scores.to_dict()


@pytest.mark.parametrize("kind", BAD)
def test_the_engine_says_one_sentence_and_goes_on(
    kind: str, analyzer: Analyzer, good: dict[str, float], settings: Settings, tmp_path: Path
) -> None:
    bad = BAD[kind]
    path = tmp_path / "voice.wav"
    path.write_bytes(bad.data)
    here = Analyzer(replace(settings, **bad.settings)) if bad.settings else analyzer
    for source in (bad.data, path):
        with pytest.raises(bad.error, match=bad.said) as caught:
            here.analyze(source)
        one_sentence(str(caught.value))
    assert here.analyze(VOICE, transcribe=False).scores.to_dict() == pytest.approx(good, abs=1e-5)


@pytest.mark.parametrize("kind", BAD)
def test_the_command_line_says_one_line_and_answers_the_good_file(
    kind: str,
    good: dict[str, float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = BAD[kind]
    (tmp_path / "bad.wav").write_bytes(bad.data)
    (tmp_path / "good.wav").write_bytes(VOICE)
    for name, value in bad.settings.items():
        monkeypatch.setenv(f"SER_{name.upper()}", str(value))
    assert main(["analyze", "--json", "--no-transcript", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    name, sentence = line.split(": ", 1)
    assert name == str(tmp_path / "bad.wav")
    assert bad.said in sentence
    one_sentence(sentence)
    answer = json.loads(out)
    assert answer["file"] == str(tmp_path / "good.wav")
    assert answer["scores"] == pytest.approx(good, abs=1e-5)


def test_a_file_of_4_gb_is_not_read(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(patched(VOICE, *CLAIMS_4_GB))
    with path.open("r+b") as file:
        file.truncate(4 * 2**30 + 1)  # sparse: it takes no room on the disk
    with pytest.raises(TooLarge, match=r"4096 MB can be analyzed \(SER_MAX_BYTES\)") as caught:
        analyzer.analyze(path)
    one_sentence(str(caught.value))


def test_speech_behind_a_header_that_claims_4_gb_is_answered(analyzer: Analyzer, good: dict[str, float]) -> None:
    analysis = analyzer.analyze(patched(VOICE, *CLAIMS_4_GB), transcribe=False)
    assert analysis.quality.duration_s == pytest.approx(len(speech()) / RATE, abs=0.01)
    assert analysis.scores.to_dict() == pytest.approx(good, abs=1e-5)


def test_a_cut_off_recording_is_judged_by_what_is_left(analyzer: Analyzer) -> None:
    analysis = analyzer.analyze(VOICE[: len(VOICE) // 2], transcribe=False)
    assert analysis.quality.duration_s == pytest.approx(len(speech()) / RATE / 2, abs=0.01)
    assert 0.5 < analysis.quality.speech_s < 1.5


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_paths_that_are_no_recordings(kind: str, analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(InvalidAudio) as caught:
        analyzer.analyze(path)
    one_sentence(str(caught.value))
