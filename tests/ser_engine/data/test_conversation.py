"""Labelled conversations: built from clips with pauses and turns, written, and read again."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ser_engine import Settings
from ser_engine.audio.vad import detect_speech
from ser_engine.cli.main import main
from ser_engine.data import conversation
from ser_engine.data.conversation import Turn, build_conversation, read_turns, write_conversation
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.settings import PROJECT
from tests.speech import RATE, SENTENCES, encode, silence, speech, tone

# Four recordings, each under several names: what is in a clip does not matter here, only that it is speech.
CODES = {"N": "neutral", "F": "happy", "W": "angry", "T": "sad"}
SPEAKERS = {"03": "man", "08": "woman", "10": "man"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips in the manner of EMO-DB: three speakers, four emotions, two sentences; one of them without speech."""
    data = tmp_path_factory.mktemp("clips")
    (data / "emodb").mkdir()
    for speaker, voice in SPEAKERS.items():
        for code in CODES:
            for sentence, text in zip(("a01", "a02"), SENTENCES, strict=False):
                samples = soxr.resample(np.concatenate([silence(0.5), speech(text, voice)]), RATE, 22_050)
                (data / "emodb" / f"{speaker}{sentence}{code}a.wav").write_bytes(encode(samples, 22_050))
    (data / "emodb" / "03a01Wa.wav").write_bytes(encode(tone(2.0)))
    return data


@pytest.fixture(scope="module")
def clips(data: Path) -> list[Utterance]:
    return registry.read_corpus("emodb", data)


def test_voices_take_turns_with_pauses_between(clips: list[Utterance]) -> None:
    samples, turns = build_conversation(clips, 20.0, 2, 0, Settings())
    assert len(samples) >= 20 * RATE and samples.dtype == np.float32
    assert len({turn.speaker for turn in turns}) == 2
    assert {turn.emotion for turn in turns} <= set(CODES.values())
    for before, after in pairwise(turns):
        same = before.speaker == after.speaker
        assert 0.2 <= after.start - before.end <= (0.5 + 4.0 if not same else 0.5)
        if same:  # a mood lasts for a turn
            assert before.emotion == after.emotion
    runs = [turn.speaker for turn in turns]
    assert any(a != b for a, b in pairwise(runs)) and 1 <= max(map(len, "".join(
        "x" if a == b else " " for a, b in pairwise(runs)).split()), default=1) <= 2  # fmt: skip


def test_the_labels_are_where_the_speech_is(clips: list[Utterance]) -> None:
    samples, turns = build_conversation(clips, 12.0, 2, 1, Settings())
    for span in detect_speech(samples):
        assert any(turn.start - 0.15 <= span.start and span.end <= turn.end + 0.15 for turn in turns) or any(
            turn.start - 0.15 <= span.start < turn.end for turn in turns
        )
    quiet = np.ones(len(samples), bool)
    for turn in turns:
        quiet[round(turn.start * RATE) : round(turn.end * RATE)] = False
    room = float(np.sqrt(np.mean(samples[quiet] ** 2)))
    assert 20 * np.log10(room) == pytest.approx(conversation.ROOM_DB, abs=1)
    assert float(np.sqrt(np.mean(samples[~quiet] ** 2))) > 30 * room


def test_a_seed_makes_the_same_and_another_one_another(clips: list[Utterance]) -> None:
    first, again, other = (build_conversation(clips, 8.0, 2, seed, Settings()) for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert first[1] != other[1]
    # Nor does it matter in which order the clips were read.
    assert build_conversation(list(reversed(clips)), 8.0, 2, 3, Settings())[1] == first[1]


def test_too_few_voices_or_clips_are_told(clips: list[Utterance]) -> None:
    with pytest.raises(CorpusError, match="4 speakers"):
        build_conversation(clips, 5.0, 4, 0, Settings())
    with pytest.raises(CorpusError, match="not enough"):
        build_conversation(clips, 500.0, 2, 0, Settings())


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    turns = [Turn(0.5, 2.25, "angry", "emodb/03"), Turn(3.0, 4.0, "happy", "emodb/08")]
    labels = write_conversation(tmp_path / "deep" / "talk.wav", speech(), turns, Settings())
    assert labels == (tmp_path / "deep" / "talk.csv").resolve() and read_turns(labels) == turns
    samples, rate = soundfile.read(io.BytesIO((tmp_path / "deep" / "talk.wav").read_bytes()))
    assert rate == RATE and len(samples) == len(speech())
    assert sorted(file.name for file in (tmp_path / "deep").iterdir()) == ["talk.csv", "talk.wav"]


def test_recordings_of_corpora_never_get_into_the_project(tmp_path: Path) -> None:
    for target in (PROJECT / "talk.wav", PROJECT / "tests" / "data" / "talk.wav"):
        with pytest.raises(InvalidSettings, match="outside the project"):
            write_conversation(target, speech(), [Turn(0, 1, "happy")], Settings())
        assert not target.exists()


def test_emotions_have_any_common_name(tmp_path: Path) -> None:
    path = tmp_path / "turns.csv"
    path.write_text("emotion,end,start\nAnger,2,1\nangry or disgust,4,3\nboredom,6,5.5\nFear,1,0\n")
    assert read_turns(path) == [
        Turn(0, 1, "fearful"), Turn(1, 2, "angry"), Turn(3, 4, "angry or disgust"), Turn(5.5, 6, "boredom"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("start,end\n1,2\n", "no column 'emotion'"),
        ("start,end,emotion\n1,x,happy\n", "line 2"),
        ("start,end,emotion\n0,1,happy\n2,1,happy\n", "line 3"),
        ("start,end,emotion\n0,1,\n", "line 2"),
        ("start,end,emotion\n0,1\n", "line 2"),
        ("start,end,emotion\n0,nan,happy\n", "line 2"),
        ("start,end,emotion\n0,2,happy\n1,3,sad\n", "same time"),
        ("start,end,emotion\n", "no turn"),
        ("", "no turn"),
    ],
)
def test_a_table_that_makes_no_sense_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "turns.csv"
    path.write_text(text)
    with pytest.raises(CorpusError, match=told):
        read_turns(path)


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no file"):
        read_turns(tmp_path / "turns.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_turns(tmp_path / "binary.csv")


def test_the_verb_builds_one_and_says_how_to_measure_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["conversation", str(tmp_path / "talk.wav"), "--corpora", "EMO-DB", "--seconds", "6", "--data", str(data)]
    assert main(command) == 0
    out, _ = capsys.readouterr()
    turns = read_turns(tmp_path / "talk.csv")
    assert out.startswith(f"{len(turns)} clips of emodb/") and "--conversation" in out
    assert main([*command[:1], str(PROJECT / "talk.wav"), *command[2:]]) == 2
