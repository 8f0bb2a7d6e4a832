"""The spectrogram in numpy is Whisper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from whisper.audio import log_mel_spectrogram

from ser_engine.features.log_mel import log_mel
from tests.speech import speech


@pytest.mark.parametrize("length", [401, 16_000, 30_001])
def test_the_spectrogram_is_whispers(length: int) -> None:
    samples = speech("Kids are talking by the door.")[:length].astype(np.float32)
    reference = log_mel_spectrogram(torch.from_numpy(samples)).numpy()
    assert log_mel(samples).shape == reference.shape
    assert log_mel(samples) == pytest.approx(reference, abs=1e-4)
