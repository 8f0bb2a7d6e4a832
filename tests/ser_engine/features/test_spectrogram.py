"""The papers' images: their sizes, what is where in them, and that they depend on the audio alone."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from matplotlib import colormaps

from ser_engine.features import spectra, spectrogram
from ser_engine.features.spectrogram import IMAGES
from tests.speech import RATE, add_noise, noise, silence, speech, tone

CLIP = add_noise(speech(), 30.0)


@pytest.mark.parametrize("name", list(IMAGES))
def test_every_image_has_its_paper_s_size_whatever_the_clip(name: str) -> None:
    make, shape = IMAGES[name]
    clip = CLIP[:20_000]
    for samples in (clip, silence(0.1), silence(1.1), noise(0.001), np.zeros(1, np.float32)):
        images = make(samples)
        assert images.dtype == np.uint8 and images.shape[1:] == shape and len(images) >= 1
        assert images.flags.c_contiguous
    assert np.array_equal(make(clip), make(clip.copy()))


def test_the_sizes_are_those_of_the_papers() -> None:
    assert {name: shape for name, (_, shape) in IMAGES.items()} == {
        "jet-blocks": (3, 257, 251),
        "jet-blocks-overlapping": (3, 257, 251),
        "mel-image": (3, 128, 128),
        "mfcc-image": (3, 224, 224),
        "spectrogram-image": (3, 224, 224),
    }


@pytest.mark.parametrize(("seconds", "blocks", "overlapping"), [(0.4, 1, 1), (1.0, 1, 1), (1.9, 1, 91), (2.1, 2, 111)])
def test_blocks_are_whole_seconds_one_after_the_other_or_10_ms_apart(
    seconds: float, blocks: int, overlapping: int
) -> None:
    samples = noise(seconds)
    apart, close = spectrogram.jet_blocks(samples), IMAGES["jet-blocks-overlapping"][0](samples)
    assert (len(apart), len(close)) == (blocks, overlapping)
    assert np.array_equal(apart, close[::100])


def test_a_block_is_the_same_in_any_context_and_at_any_level() -> None:
    samples = np.concatenate([CLIP[:RATE], 0.01 * CLIP[RATE : 2 * RATE]])
    blocks = spectrogram.jet_blocks(samples)
    alone = np.concatenate([spectrogram.jet_blocks(CLIP[:RATE]), spectrogram.jet_blocks(CLIP[RATE : 2 * RATE])])
    assert np.abs(blocks.astype(int) - alone.astype(int)).max() <= 4  # one step of the color map


def loudest_row(images: np.ndarray, name: str) -> int:
    """Return the row, from the top, that has the color map's last color most often."""
    last = np.array(colormaps[name](255, bytes=True)[:3], int)
    return int((np.abs(images[0].astype(int) - last[:, None, None]).sum(axis=0) < 30).sum(axis=1).argmax())


@pytest.mark.parametrize("hz", [1000.0, 4000.0])
def test_a_tone_lies_at_its_height_low_frequencies_at_the_bottom(hz: float) -> None:
    sound = tone(1.0, hz)
    assert 256 - loudest_row(spectrogram.jet_blocks(sound), "jet") == pytest.approx(hz / 8000 * 256, abs=1)
    assert 223 - loudest_row(spectrogram.spectrogram_image(sound), "magma") == pytest.approx(hz / 8000 * 224, abs=3)


def test_jet_is_matplotlib_s_from_dark_blue_for_silence_to_dark_red_for_the_loudest() -> None:
    half = np.concatenate([silence(0.5), tone(0.5, 2000.0)])
    (image,) = spectrogram.jet_blocks(half)
    assert image[:, :, 10].T.tolist() == [list(colormaps["jet"](0, bytes=True)[:3])] * 257
    assert image.reshape(3, -1).T.tolist().count(list(colormaps["jet"](255, bytes=True)[:3])) >= 1


def test_the_mel_image_shows_librosas_decibels_of_the_first_two_and_a_half_seconds() -> None:
    power = librosa.feature.melspectrogram(y=CLIP[: round(2.5 * RATE)], sr=RATE)
    shares = 1 + librosa.power_to_db(power, ref=np.max) / 80
    columns = np.arange(128) * power.shape[1] // 128
    expected = colormaps["magma"](shares[::-1, columns], bytes=True)[..., :3].transpose(2, 0, 1)
    image = spectrogram.mel_image(CLIP)[0]
    assert np.abs(image.astype(int) - expected).max() <= 6  # one step of the color map
    longer = np.concatenate([CLIP[: round(2.5 * RATE)], noise(1.0)])
    assert np.array_equal(spectrogram.mel_image(longer)[0], image)


def test_silence_after_a_short_clip_is_dark() -> None:
    image = spectrogram.mel_image(noise(1.0))[0]
    assert image[:, :, :48].mean() > 100
    assert image[:, :, 60:].max() <= 4


def test_the_mfcc_image_has_a_stripe_for_each_coefficient() -> None:
    # Twenty coefficients, each a stripe of a twentieth of the height; the first is the lowest and the most negative.
    image = spectrogram.mfcc_image(noise(1.0))[0].astype(int)
    mfcc = spectra.mfcc(spectra.magnitude(noise(1.0)) ** 2, RATE)
    least = 19 - int(mfcc.mean(axis=1).argmin())
    stripes = image[:, 5:-1:11].mean(axis=2)
    assert (stripes[2] - stripes[0]).argmax() == least  # blue is the end of the negative


def test_two_clips_have_two_images() -> None:
    for name in ("jet-blocks", "mel-image", "mfcc-image", "spectrogram-image"):
        make, _ = IMAGES[name]
        assert np.abs(make(speech(voice="man"))[0].astype(int) - make(speech(voice="woman"))[0]).mean() > 1
