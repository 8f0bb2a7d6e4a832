"""Hidden states of Whisper's encoder, run at a recording's true length, and their statistics over time.

Whisper's own code pads to 30 s. A clip of three seconds has 150 positions of 1500, so that running its true length
is many times faster, and nothing that is pooled over time is diluted by padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_engine.analysis import SAMPLE_RATE

if TYPE_CHECKING:
    import torch
    from whisper.model import AudioEncoder

# Longer speech is encoded in stretches: the encoder has positions for 30 s.
MAX_SAMPLES = 30 * SAMPLE_RATE
STATISTICS = ("mean", "std")


def hidden_states(encoder: AudioEncoder, samples: NDArray[np.float32]) -> torch.Tensor:
    """Return every layer's states of float32 [n] samples at 16 kHz, n at most 30 s.

    The result is float32 [layers + 2, frames, width]: what enters the first block, what leaves each block, and the
    last of these normalised as Whisper's decoder sees it. A frame is 20 ms.
    """
    import torch
    from torch.nn import functional
    from whisper.audio import log_mel_spectrogram

    with torch.inference_mode():
        mel = log_mel_spectrogram(torch.from_numpy(samples), encoder.conv1.in_channels)[None]
        x = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = x + encoder.positional_embedding[: x.shape[1]]
        states = [x]
        for block in encoder.blocks:
            x = block(x)
            states.append(x)
        return torch.cat([*states, encoder.ln_post(x)])


def statistics(encoder: AudioEncoder, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean and standard deviation over time of every layer: float32 [layers + 2, 2, width].

    Speech of more than 30 s is encoded in equal stretches whose moments are put together.
    """
    import torch

    pieces = np.array_split(samples, -(-len(samples) // MAX_SAMPLES))
    states = torch.cat([hidden_states(encoder, piece) for piece in pieces], dim=1)
    moments = torch.stack([states.mean(dim=1), states.std(dim=1, correction=0)], dim=1)
    return moments.numpy()
