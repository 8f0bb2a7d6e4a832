"""Built conversations: turns lie where they are said to, and overlap only in scenes with overlaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import conversations
from benchmarks.conversations import MEETING, QUIET, Clips, Scene, build_conversation, build_single_voice, neutral_clips
from ser_engine.audio.quality import rms
from ser_engine.data.corpora.base import Utterance
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import find_overlaps
from ser_engine.types import SAMPLE_RATE, total_s
from tests.speech import SENTENCES

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def clips() -> Clips:
    return {
        voice: [Utterance("x", DATA / f"{voice}_{name}.ogg", label, voice) for name, label in named.items()]
        for voice in ("man", "woman")
        if (named := dict(zip(SENTENCES.values(), ("neutral", "sad", "angry", "happy"), strict=True)))
    }


@pytest.mark.parametrize(("scene", "overlapped"), [(QUIET, False), (MEETING, True)])
def test_turns_are_where_there_is_sound(
    clips: Clips, scene: Scene, overlapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "CONVERSATION_S", 20.0)
    rng = np.random.default_rng(0)
    conversation = build_conversation(clips, rng, ["man", "woman"], Settings(), replace(scene, room_s=None))
    assert {turn.speaker for turn in conversation.turns} == {0, 1}
    assert (total_s(find_overlaps(conversation.turns)) > 1) == overlapped
    silent = np.ones(len(conversation.samples), bool)
    for turn in conversation.turns:
        first, last = round(turn.start * SAMPLE_RATE), round(turn.end * SAMPLE_RATE)
        assert rms(conversation.samples[first:last]) > 0.02
        silent[first:last] = False
    assert rms(conversation.samples[silent]) < 0.01


def test_a_single_voice_is_in_one_emotion_or_in_several(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "SINGLE_S", (1.0, 4.0))
    for mixed in (False, True):
        samples = build_single_voice(clips, np.random.default_rng(1), mixed, Settings())
        assert SAMPLE_RATE < len(samples) < 8 * SAMPLE_RATE
    assert {len(own) for own in neutral_clips(clips).values()} == {1}
