"""Hidden states of Whisper's encoder, run at a recording's true length, and what heads on it are fed with.

Whisper's own code pads to 30 s. A clip of three seconds has 150 positions of 1500, so that running its true length
is many times faster, and nothing that is pooled over time is diluted by padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_engine.types import SAMPLE_RATE

if TYPE_CHECKING:
    import torch
    from whisper.model import AudioEncoder

# Longer speech is encoded in stretches: the encoder has positions for 30 s.
MAX_SAMPLES = 30 * SAMPLE_RATE
STATISTICS = ("mean", "std")
# The lower half of Whisper-base's blocks, where how something is said is heard best.
FRAME_LAYERS = (1, 2, 3, 4)
FRAMES_A_MEAN = 2
# After so many blocks those begin that are tuned for emotion.
LOWER_BLOCKS = 2


class Encoding(NamedTuple):
    """What is kept of the hidden states of one recording.

    Attributes
    ----------
    statistics : [layers + 2, 2, width], mean and standard deviation over time of every layer
    frames : [t, width], the mean of the layers `FRAME_LAYERS` at 25 frames a second
    """

    statistics: NDArray[np.floating[Any]]
    frames: NDArray[np.floating[Any]]


def compute_hidden_states(encoder: AudioEncoder, samples: NDArray[np.float32]) -> torch.Tensor:
    """Return every layer's states of float32 [batch, n] samples at 16 kHz, n at most 30 s.

    The result is float32 [batch, layers + 2, frames, width]: what enters the first block, what leaves each block, and
    the last of these normalised as Whisper's decoder sees it. A frame is 20 ms.
    """
    import torch

    with torch.inference_mode():
        states = list(_states(encoder, samples))
        return torch.stack([*states, encoder.ln_post(states[-1])], dim=1)


def compute_lower_states(encoder: AudioEncoder, samples: NDArray[np.float32]) -> torch.Tensor:
    """Return what leaves block `LOWER_BLOCKS`, float32 [batch, t, width], of [batch, n] samples at 16 kHz.

    Nothing above it is computed. n is at most 30 s; t are means of every `FRAMES_A_MEAN` frames, 40 ms.
    """
    import torch

    with torch.inference_mode():
        return average_pairs(next(islice(_states(encoder, samples), LOWER_BLOCKS, None)))


def _states(encoder: AudioEncoder, samples: NDArray[np.float32]) -> Iterator[torch.Tensor]:
    """Yield what enters the first block, then what leaves each, float32 [batch, frames, width]."""
    import torch
    from torch.nn import functional
    from whisper.audio import log_mel_spectrogram

    # One at a time: Whisper's spectrogram takes its reference level from all that it is given.
    mel = torch.stack([log_mel_spectrogram(torch.from_numpy(clip), encoder.conv1.in_channels) for clip in samples])
    x = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
    x = x + encoder.positional_embedding[: x.shape[1]]
    yield x
    for block in encoder.blocks:
        x = block(x)
        yield x


def encode_audio(encoder: AudioEncoder, samples: NDArray[np.float32]) -> list[Encoding]:
    """Return the encoding, in float32, of each of the recordings [batch, n] at 16 kHz."""
    return pool_states(compute_long_states(encoder, samples))


def compute_long_states(encoder: AudioEncoder, samples: NDArray[np.float32]) -> torch.Tensor:
    """Return what `hidden_states` does, of recordings [batch, n] of any length.

    Speech of more than 30 s is heard in equal stretches whose frames follow each other.
    """
    import torch

    pieces = np.array_split(samples, -(-samples.shape[1] // MAX_SAMPLES), axis=1)
    return torch.cat([compute_hidden_states(encoder, np.ascontiguousarray(piece)) for piece in pieces], dim=2)


def pool_states(states: torch.Tensor) -> list[Encoding]:
    """Return the encoding of each recording of hidden states float32 [batch, layers + 2, frames, width]."""
    import torch

    statistics = torch.stack([states.mean(dim=2), states.std(dim=2, correction=0)], dim=2)
    frames = average_pairs(states[:, FRAME_LAYERS].mean(dim=1))
    return [Encoding(*both) for both in zip(statistics.numpy(), frames.numpy(), strict=True)]


def average_pairs(frames: torch.Tensor) -> torch.Tensor:
    """Return means of every `FRAMES_A_MEAN` frames of [batch, t, width]; the last is repeated where one is missing."""
    import torch

    if odd := frames.shape[1] % FRAMES_A_MEAN:
        frames = torch.cat([frames, *[frames[:, -1:]] * (FRAMES_A_MEAN - odd)], dim=1)
    return frames.unflatten(1, (-1, FRAMES_A_MEAN)).mean(dim=2)
