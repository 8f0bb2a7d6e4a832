"""Networks of tiny encoders, and clips and words to try them on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser_engine import Settings
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.types import Prediction, Transcript
from tests.ser_engine.models.tiny_encoders import SPEECH, write_speech, write_text
from tests.speech import RATE, Samples, music, noise, speech

LABELS = ("neutral", "happy", "sad", "angry")
SPOKEN = speech()[RATE // 2 :]  # behind the silence before the first word
CLIPS: list[Samples] = [
    SPOKEN[: round(0.3 * RATE)],
    speech(voice="woman")[:RATE],
    SPOKEN[:RATE],
    noise(1.2),
    music(0.6),
    SPOKEN[: round(1.4 * RATE)],
    SPOKEN[:150],  # less than a frame
]
TEXTS = ["Dogs are sitting by the door.", "", "kids", None, "say the word door", "it is eleven o'clock . " * 9, "dogs"]


def write_encoders(folder: Path) -> Settings:
    """Write a tiny encoder of every kind; return settings whose models folder this is. One thread does for them."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for kind in SPEECH:
        write_speech(folder / "encoders" / kind, kind)
    write_text(folder / "encoders" / "bert", "bert-heads")
    return replace(Settings(), models_dir=folder)


Pair = tuple[SpeechTextForSequenceClassification, SpeechTextProcessor]


def build(here: Settings, kind: str | None = "hubert", text: str | None = "bert", **options: Any) -> Pair:
    """Return a network of tiny encoders, with a head whose scores differ, and its processor."""
    made = SpeechTextForSequenceClassification.from_encoders(LABELS, kind, text, here, **options)
    with torch.no_grad():  # so that the scores differ
        for parameter in made.classifier.parameters():
            parameter.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    return made, SpeechTextProcessor.from_encoders(kind, text, here)


def logits(pair: Pair, clips: list[Samples], texts: list[str | None]) -> Tensor:
    """Return logits [batch, labels] of clips and their words."""
    with torch.no_grad():
        return pair[0](**pair[1](clips, texts)).logits


def said(text: str) -> Transcript:
    """Return a transcript of this text."""
    return Transcript(text, "en", (), 0.9, "test")


def probabilities(predictions: list[Prediction]) -> np.ndarray:
    """Return the probabilities of predictions, a row each."""
    return np.stack([prediction.scores.probabilities for prediction in predictions])
