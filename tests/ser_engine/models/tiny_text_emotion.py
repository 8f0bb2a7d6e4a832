"""A tiny reader of emotion in words, with random weights on a tiny BERT."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ser_engine import Settings
from ser_engine.data.corpora.sentences import LABELS
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.models.text_emotion import TextEmotion, TextEmotionNetwork

CARD = {"corpora": ["goemotions"], "measured": {"macro_f1": 61.5}}


def make(here: Settings, threshold: float = 0.5, card: dict[str, Any] | None = None) -> TextEmotion:
    """Return one on the BERT in models/encoders/bert, whose opinions differ from text to text."""
    network = TextEmotionNetwork.from_encoder("bert", len(LABELS), here, 0.1, seed=3)
    with torch.no_grad():
        network.classifier.weight.mul_(12)
    processor = SpeechTextProcessor.from_encoders(None, "bert", here)
    thresholds = np.full(len(LABELS), 0.4, np.float32), np.full(len(LABELS), threshold, np.float32)
    return TextEmotion("tiny-text", LABELS, network, processor, *thresholds, card=CARD if card is None else card)
