"""The measured network: the architecture of Sharma (III.D.2) at full size with random weights, and its clips.

Time and memory do not depend on the values of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizer, HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from ser_engine.models.encoders import quiet
from ser_engine.models.speech_text import SpeechText, speech_states, text_states
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Quality, Span, Transcript
from tests.speech import SENTENCES, VOICES, speech  # synthetic, so that no corpus is needed

LABELS = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
SHORTEST_S, MOST_S, LONGEST_S = 1.5, 2.5, 5.0
"""Seconds of a clip: shortest, most frequent (as in CREMA-D), longest."""
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-"


@dataclass(frozen=True)
class Size:
    """Changes to the default configurations of transformers, which are HuBERT-base and BERT-base (uncased)."""

    hubert: dict[str, Any] = field(default_factory=dict)
    bert: dict[str, Any] = field(default_factory=dict)


FULL = Size()


@dataclass(frozen=True)
class Built:
    """Folders of the encoders, of a model that refers to them, and of one that contains them."""

    hubert: Path
    bert: Path
    frozen: Path
    whole: Path


def build(folder: Path, size: Size = FULL) -> Built:
    """Write encoders and models below `folder`, the same at every call."""
    built = Built(*(folder / name for name in ("hubert-base", "bert-base", "frozen", "whole")))
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        HubertModel(HubertConfig(**size.hubert)).save_pretrained(built.hubert)
        bert = BertConfig(**size.bert)
        BertModel(bert).save_pretrained(built.bert)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(built.hubert)
    _tokenizer(bert.vocab_size).save_pretrained(built.bert)
    names, settings = (str(built.hubert), str(built.bert)), Settings()
    network = SpeechTextForSequenceClassification.from_encoders(LABELS, *names, settings)
    model = SpeechText("hubert-bert", network, SpeechTextProcessor.from_encoders(*names, settings))
    _spread_scores(model)
    model.save(built.frozen)
    network.freeze("entire")
    model.save(built.whole)
    return built


def _tokenizer(size: int) -> BertTokenizer:
    """Return a tokenizer with `size` entries: the words of the sentences, and characters for others."""
    words = {word for sentence in SENTENCES for word in sentence.lower().strip(".").replace("'", " ' ").split()}
    pieces = [*CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
    entries = list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *sorted(words)]))
    entries += [f"[unused{number}]" for number in range(size - len(entries))]
    return BertTokenizer(vocab={entry: row for row, entry in enumerate(entries)}, do_lower_case=True)


def _spread_scores(model: SpeechText) -> None:
    """Scale the head so that scores differ between clips; random encoders give nearly the same for all.

    Otherwise any two pipelines would agree.
    """
    sentences = list(SENTENCES)
    clips = [speech(sentence, VOICES[number % len(VOICES)]) for number, sentence in enumerate(sentences)]
    speech_part = speech_states(model.network, model.processor, clips)
    text_part = text_states(model.network, model.processor, sentences)
    head = model.network.classifier
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight.normal_(generator=torch.Generator().manual_seed(0))
        head.bias.zero_()
        logits = model.network.classify(speech_part, text_part)
        scale = 1 / logits.std(dim=0).mean()
        head.weight *= scale
        head.bias -= logits.mean(dim=0) * scale


def clips(count: int, seed: int = 0) -> tuple[list[CleanSpeech], list[Transcript]]:
    """Return different clips of realistic lengths, and words for them."""
    rng = np.random.default_rng(seed)
    voices = np.concatenate([speech(text, voice) for text in SENTENCES for voice in VOICES])
    speeches, words = [], []
    for number in range(count):
        length = round(float(rng.triangular(SHORTEST_S, MOST_S, LONGEST_S)) * SAMPLE_RATE)
        start = rng.integers(len(voices) - length)
        noise = rng.standard_normal(length, np.float32) * np.float32(1e-3)
        speeches.append(clean_speech(voices[start : start + length] + noise))
        words.append(Transcript(list(SENTENCES)[number % len(SENTENCES)], "en", (), 1.0, "given"))
    return speeches, words


def clean_speech(samples: np.ndarray) -> CleanSpeech:
    """Return float32 [n] at 16 kHz as clean speech."""
    seconds = len(samples) / SAMPLE_RATE
    quality = Quality(seconds, seconds, SAMPLE_RATE, 8000.0, None, 0.0, -23.0, False)
    return CleanSpeech(samples, (Span(0.0, seconds),), quality)
