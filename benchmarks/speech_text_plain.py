"""The baseline for HuBERT and BERT: the same models, used directly as their documentation shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import BertModel, BertTokenizer, HubertModel, Wav2Vec2FeatureExtractor

from benchmarks.speech_text_model import Built
from ser_engine.models.encoders import quiet
from ser_engine.models.whisper import load_whisper
from ser_engine.settings import Settings


@dataclass(frozen=True)
class Plain:
    """The models, in float32."""

    whisper: whisper.Whisper
    extractor: Wav2Vec2FeatureExtractor
    hubert: HubertModel
    tokenizer: BertTokenizer
    bert: BertModel
    head: dict[str, torch.Tensor]

    @classmethod
    def load(cls, built: Built) -> Plain:
        """Load the encoders, the head of the saved model, and Whisper."""
        with quiet():
            return cls(
                load_whisper(Settings()),
                Wav2Vec2FeatureExtractor.from_pretrained(built.hubert),
                HubertModel.from_pretrained(built.hubert).eval(),
                BertTokenizer.from_pretrained(built.bert),
                BertModel.from_pretrained(built.bert).eval(),
                load_file(built.frozen / "model.safetensors"),
            )

    def analyze(self, path: Path, voice: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
        """Return (words, probabilities [labels]) of a recording.

        Whisper's `transcribe` reads the file. HuBERT's input is `voice`, float32 [n] at 16 kHz, cleaned by the
        engine; cleaning is not counted here.
        """
        samples, _ = librosa.load(path, sr=16_000, mono=True)
        words = str(self.whisper.transcribe(samples, fp16=False)["text"]).strip()
        return words, self.score(voice, words)

    @torch.no_grad()
    def score(self, voice: NDArray[np.float32], words: str) -> NDArray[np.float32]:
        """Return probabilities [labels]: last hidden states averaged over time, concatenated, classified.

        One clip is a batch without padding.
        """
        inputs = self.extractor(voice, sampling_rate=16_000, padding=True, return_tensors="pt")
        sound = self.hubert(**inputs).last_hidden_state.mean(dim=1)
        tokens = self.tokenizer(words, return_tensors="pt")
        text = self.bert(**tokens).last_hidden_state.mean(dim=1)
        pooled = torch.cat([sound, text], dim=1)
        logits = pooled @ self.head["classifier.weight"].T + self.head["classifier.bias"]
        return logits.softmax(dim=1)[0].numpy()
