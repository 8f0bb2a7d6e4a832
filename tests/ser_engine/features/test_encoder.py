"""Hidden states: what Whisper's own encoder computes, at the true length, and pooled without padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from whisper.audio import log_mel_spectrogram
from whisper.model import AudioEncoder

from ser_engine import Settings
from ser_engine.features.encoder import MAX_SAMPLES, compute_hidden_states, encode_audio
from ser_engine.models.whisper import shared_whisper
from tests.speech import RATE, Samples, music, noise, silence, speech

LAYERS, WIDTH = 8, 512


@pytest.fixture(scope="module")
def encoder(settings: Settings) -> AudioEncoder:
    return shared_whisper(settings).encoder


@pytest.fixture(scope="module")
def small() -> AudioEncoder:
    """An encoder of the same build with random weights: fast enough for half a minute and more."""
    torch.manual_seed(0)
    small = AudioEncoder(n_mels=80, n_ctx=1500, n_state=32, n_head=2, n_layer=3).eval().requires_grad_(False)
    nn.init.normal_(small.positional_embedding, std=0.3)
    return small


def pooled(*states: Tensor) -> NDArray[np.float32]:
    """Return mean and deviation of [layers, frames, width] over all frames."""
    frames = np.concatenate([state.numpy() for state in states], axis=1)
    return np.stack([frames.mean(axis=1), frames.std(axis=1)], axis=1)


def test_half_a_minute_gives_what_whispers_own_encoder_gives(encoder: AudioEncoder) -> None:
    half_a_minute = np.concatenate([speech(), silence(30)])[:MAX_SAMPLES]
    inside: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _module, _arguments, states: inside.append(states))
        for block in encoder.blocks
    ]
    try:
        with torch.inference_mode():
            theirs = encoder(log_mel_spectrogram(torch.from_numpy(half_a_minute))[None])
    finally:
        for hook in hooks:
            hook.remove()
    ours = compute_hidden_states(encoder, half_a_minute[None])
    assert ours.shape == (1, LAYERS, 1500, WIDTH) and ours.dtype == torch.float32
    torch.testing.assert_close(ours[:, -1], theirs)
    for layer, states in enumerate(inside, start=1):
        torch.testing.assert_close(ours[:, layer], states)


def test_the_first_layer_is_what_enters_the_first_block(small: AudioEncoder) -> None:
    entered: list[Tensor] = []
    hook = small.blocks[0].register_forward_pre_hook(lambda _module, arguments: entered.append(arguments[0]))
    ours = compute_hidden_states(small, noise(2)[None])
    hook.remove()
    torch.testing.assert_close(ours[:, 0], entered[0])


@pytest.mark.parametrize(("samples", "frames"), [(0.3 * RATE, 15), (RATE, 50), (3 * RATE, 150), (MAX_SAMPLES, 1500)])
def test_there_are_frames_for_the_true_length_alone(small: AudioEncoder, samples: float, frames: int) -> None:
    assert compute_hidden_states(small, noise(30)[None, : round(samples)]).shape == (1, 5, frames, 32)


@pytest.mark.parametrize("samples", [4801, 16_001, 16_159, 16_160, 40_319])
def test_odd_lengths_lose_less_than_a_frame(small: AudioEncoder, samples: int) -> None:
    frames = compute_hidden_states(small, noise(3)[None, :samples]).shape[2]
    assert abs(frames - samples / 320) < 1


def test_neighbours_in_a_batch_do_not_matter(encoder: AudioEncoder) -> None:
    clips = [speech()[: 2 * RATE], 0.01 * speech(voice="woman")[: 2 * RATE], music(2)]
    together = compute_hidden_states(encoder, np.stack(clips))
    for states, clip in zip(together, clips, strict=True):
        torch.testing.assert_close(states, compute_hidden_states(encoder, clip[None])[0], atol=1e-3, rtol=1e-3)


def test_an_encoding_is_made_of_the_hidden_states(encoder: AudioEncoder) -> None:
    clip = speech()[: 2 * RATE]
    (encoding,) = encode_audio(encoder, clip[None])
    states = compute_hidden_states(encoder, clip[None])[0]
    assert encoding.statistics.shape == (LAYERS, 2, WIDTH) and encoding.statistics.dtype == np.float32
    np.testing.assert_allclose(encoding.statistics, pooled(states), atol=1e-3)
    assert (encoding.statistics[:, 1] >= 0).all() and np.isfinite(encoding.statistics).all()
    assert encoding.frames.shape == (50, WIDTH) and encoding.frames.dtype == np.float32  # 25 a second
    lower = states[1:5].mean(dim=0)
    np.testing.assert_allclose(encoding.frames[7], lower[14:16].mean(dim=0), atol=1e-4)


def test_an_odd_last_frame_stays_as_it_is(small: AudioEncoder) -> None:
    samples = noise(1)[: round(0.3 * RATE)]
    (encoding,) = encode_audio(small, samples[None])
    last = compute_hidden_states(small, samples[None])[0, 1:5, -1].mean(dim=0)
    assert len(encoding.frames) == 8  # of 15 of 20 ms
    np.testing.assert_allclose(encoding.frames[-1], last, atol=1e-5)


def test_they_are_far_from_those_of_a_padded_clip(encoder: AudioEncoder) -> None:
    clip = speech()[: 2 * RATE]
    both = (encode_audio(encoder, samples[None]) for samples in (clip, np.concatenate([clip, silence(4)])))
    alone, padded = (one.statistics for (one,) in both)
    assert np.abs(alone - padded).mean() > 0.1 * np.abs(alone).mean()


@pytest.mark.parametrize(("seconds", "pieces"), [(30.0, 1), (30.01, 2), (60.0, 2), (75.3, 3)])
def test_longer_speech_is_pooled_over_all_of_its_frames(small: AudioEncoder, seconds: float, pieces: int) -> None:
    samples = long_sound(seconds)
    parts = np.array_split(samples, pieces)
    assert max(len(part) for part in parts) <= MAX_SAMPLES
    expected = pooled(*(compute_hidden_states(small, np.ascontiguousarray(part)[None])[0] for part in parts))
    (encoding,) = encode_audio(small, samples[None])
    np.testing.assert_allclose(encoding.statistics, expected, atol=1e-4)
    assert abs(len(encoding.frames) - 25 * seconds) <= 1


def test_the_end_of_longer_speech_counts(small: AudioEncoder) -> None:
    samples = long_sound(70.0)
    other = np.concatenate([samples[: 50 * RATE], 0.05 * samples[50 * RATE :]])
    first, second = (encode_audio(small, sound[None])[0].statistics for sound in (samples, other))
    assert np.abs(first - second).max() > 0.01


def long_sound(seconds: float) -> Samples:
    """Return noise that becomes louder, so that its parts differ."""
    sound = noise(seconds)
    return sound * np.linspace(0.1, 1.0, len(sound), dtype=np.float32)
