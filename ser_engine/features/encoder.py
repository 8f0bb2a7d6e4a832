"""Hidden states of Whisper's encoder at a recording's true length, pooled into the input of classification heads.

Whisper's own code pads to 30 s. A clip of three seconds has 150 of 1500 positions, so that its true length is many
times faster, and no padding dilutes what is pooled over time.
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

# Longer speech is encoded in parts, since the encoder has positions for 30 s.
MAX_SAMPLES = 30 * SAMPLE_RATE
STATISTICS = ("mean", "std")
# The lower half of Whisper-base's blocks, which represent the manner of speaking best.
FRAME_LAYERS = (1, 2, 3, 4)
# The blocks above these are fine-tuned for emotion.
LOWER_BLOCKS = 2
# The blocks above these represent what is said rather than how, and are not computed for training.
BLOCKS = 4


class Encoding(NamedTuple):
    """Pooled hidden states of one recording.

    Attributes
    ----------
    statistics : [states, 2, width], mean and standard deviation over time of every hidden state
    frames : [t, width], the mean of the layers `FRAME_LAYERS` at 25 frames a second
    lower : [t, width], the output of block `LOWER_BLOCKS` at 25 frames a second
    """

    statistics: NDArray[np.floating[Any]]
    frames: NDArray[np.floating[Any]]
    lower: NDArray[np.floating[Any]]


def compute_hidden_states(
    encoder: AudioEncoder, samples: NDArray[np.float32], blocks: int | None = None
) -> torch.Tensor:
    """Compute the hidden states of float32 [batch, n] samples at 16 kHz, n at most 30 s.

    The result is float32 [batch, blocks + 1, frames, width]: the input of the first block, and the output of each.
    Without `blocks`, all are computed, and the last output follows layer-normalized, as Whisper's decoder receives it.
    A frame is 20 ms.
    """
    import torch

    with torch.inference_mode():
        states = list(islice(_states(encoder, samples), None if blocks is None else blocks + 1))
        return torch.stack([*states, encoder.ln_post(states[-1])] if blocks is None else states, dim=1)


def _states(encoder: AudioEncoder, samples: NDArray[np.float32]) -> Iterator[torch.Tensor]:
    """Yield the input of the first block, then the output of each, float32 [batch, frames, width]."""
    import torch
    from torch.nn import functional
    from whisper.audio import log_mel_spectrogram

    # One at a time: the reference level of Whisper's spectrogram depends on its whole input.
    bands, device = encoder.conv1.in_channels, encoder.conv1.weight.device
    mel = torch.stack([log_mel_spectrogram(torch.from_numpy(clip), bands, device=device) for clip in samples])
    x = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
    x = x + encoder.positional_embedding[: x.shape[1]]
    yield x
    for block in encoder.blocks:
        x = block(x)
        yield x


def encode_audio(encoder: AudioEncoder, samples: NDArray[np.float32], blocks: int | None = None) -> list[Encoding]:
    """Encode the recordings [batch, n] at 16 kHz, in float32."""
    return pool_states(compute_long_states(encoder, samples, blocks))


def compute_long_states(encoder: AudioEncoder, samples: NDArray[np.float32], blocks: int | None = None) -> torch.Tensor:
    """Compute the hidden states of recordings [batch, n] of any length, like `compute_hidden_states`.

    Speech of more than 30 s is encoded in equal parts, and their frames are joined.
    """
    import torch

    pieces = np.array_split(samples, -(-samples.shape[1] // MAX_SAMPLES), axis=1)
    return torch.cat([compute_hidden_states(encoder, np.ascontiguousarray(piece), blocks) for piece in pieces], dim=2)


def pool_states(states: torch.Tensor) -> list[Encoding]:
    """Pool hidden states float32 [batch, layers + 2, frames, width] into one encoding per recording."""
    import torch

    states = states.cpu()
    statistics = torch.stack([states.mean(dim=2), states.std(dim=2, correction=0)], dim=2)
    frames = average_pairs(states[:, FRAME_LAYERS].mean(dim=1))
    lower = average_pairs(states[:, LOWER_BLOCKS])
    return [Encoding(*parts) for parts in zip(statistics.numpy(), frames.numpy(), lower.numpy(), strict=True)]


def average_pairs(frames: torch.Tensor) -> torch.Tensor:
    """Average every two frames of [batch, t, width]; an odd last frame is repeated."""
    import torch

    if frames.shape[1] % 2:
        frames = torch.cat([frames, frames[:, -1:]], dim=1)
    pairs: torch.Tensor = frames.unflatten(1, (-1, 2)).mean(dim=2)
    return pairs
