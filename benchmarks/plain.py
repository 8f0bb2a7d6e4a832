"""The baseline: the same computation, written directly with the libraries as their documentation shows."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import torch
import whisper
from numpy.typing import NDArray

from ser_engine.models.whisper_statistics import WhisperEncoderModel


def analyze(path: Path, model: whisper.Whisper, classifier: WhisperEncoderModel) -> tuple[str, NDArray[np.float32]]:
    """Return (words, probabilities [labels]) of a recording.

    Whisper's `transcribe` with its defaults on a float32 model; then every layer's states of the encoder on the
    recording padded to 30 s, window by window, and the same head on them. The text model is left out.
    """
    samples, _ = librosa.load(path, sr=16_000, mono=True)
    words = model.transcribe(samples, fp16=False)["text"]
    windows = []
    for start in range(0, len(samples), whisper.audio.N_SAMPLES):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples[start:]))
        windows.append(_all_states(model.encoder, mel[None]))
    states = torch.cat(windows, dim=1)
    return str(words), classifier.predict_proba(states[None])[0]


@torch.inference_mode()
def _all_states(encoder: whisper.model.AudioEncoder, mel: torch.Tensor) -> torch.Tensor:
    """Return the states of all layers, float32 [layers + 2, 1500, width], collected with hooks."""
    states: list[torch.Tensor] = []
    hooks = [encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))]
    hooks += [block.register_forward_hook(lambda _, __, output: states.append(output)) for block in encoder.blocks]
    states.append(encoder(mel))
    for hook in hooks:
        hook.remove()
    return torch.cat(states)
