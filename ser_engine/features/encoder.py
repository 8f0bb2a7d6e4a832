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
    """Return every layer's states of float32 [batch, n] samples at 16 kHz, n at most 30 s.

    The result is float32 [batch, layers + 2, frames, width]: what enters the first block, what leaves each block, and
    the last of these normalised as Whisper's decoder sees it. A frame is 20 ms.
    """
    import torch
    from torch.nn import functional
    from whisper.audio import log_mel_spectrogram

    with torch.inference_mode():
        # One at a time: Whisper's spectrogram takes its reference level from all that it is given.
        mel = torch.stack([log_mel_spectrogram(torch.from_numpy(clip), encoder.conv1.in_channels) for clip in samples])
        x = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = x + encoder.positional_embedding[: x.shape[1]]
        states = [x]
        for block in encoder.blocks:
            x = block(x)
            states.append(x)
        return torch.stack([*states, encoder.ln_post(x)], dim=1)


def statistics(encoder: AudioEncoder, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean and standard deviation over time of every layer: float32 [batch, layers + 2, 2, width].

    `samples` is float32 [batch, n] at 16 kHz. Speech of more than 30 s is encoded in equal stretches whose frames
    are pooled together.
    """
    import torch

    pieces = np.array_split(samples, -(-samples.shape[1] // MAX_SAMPLES), axis=1)
    states = torch.cat([hidden_states(encoder, np.ascontiguousarray(piece)) for piece in pieces], dim=2)
    return torch.stack([states.mean(dim=2), states.std(dim=2, correction=0)], dim=2).numpy()
