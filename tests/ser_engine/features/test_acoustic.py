"""The papers' acoustic features, compared to librosa's functions on the same clip."""

from __future__ import annotations

from types import ModuleType

import librosa
import numpy as np
import pytest

from ser_engine.features import ACOUSTIC, acoustic94, acoustic173, acoustic371
from tests.speech import RATE, add_noise, noise, silence, speech, tone

BOTH = pytest.mark.parametrize("module", [acoustic94, acoustic173], ids=["94", "173"])
ALL = pytest.mark.parametrize("module", [acoustic94, acoustic173, acoustic371], ids=ACOUSTIC)
CLIP = add_noise(speech(), 30.0)
FEATURE = librosa.feature


def named(module: ModuleType, samples: np.ndarray, rate: int = RATE) -> dict[str, float]:
    return dict(zip(module.NAMES, module.extract(samples, rate).tolist(), strict=True))


def means(*rows: np.ndarray) -> np.ndarray:
    return np.concatenate([row.mean(axis=1) for row in rows])


def test_the_94_are_librosas_means_in_the_order_of_sharma() -> None:
    expected = means(
        FEATURE.chroma_stft(y=CLIP, sr=RATE, tuning=0.0),
        FEATURE.melspectrogram(y=CLIP, sr=RATE, n_mels=60),
        FEATURE.mfcc(y=CLIP, sr=RATE, n_mfcc=20),
        FEATURE.zero_crossing_rate(CLIP),
        FEATURE.spectral_centroid(y=CLIP, sr=RATE),
    )
    assert expected.shape == (94,)
    np.testing.assert_allclose(acoustic94.extract(CLIP), expected, rtol=1e-4, atol=1e-6)


def test_the_173_are_librosas_means_in_the_order_of_gomes() -> None:
    chroma = FEATURE.chroma_stft(y=CLIP, sr=RATE, tuning=0.0)
    expected = means(
        FEATURE.mfcc(y=CLIP, sr=RATE, n_mfcc=20),
        FEATURE.melspectrogram(y=CLIP, sr=RATE),
        chroma,
        FEATURE.spectral_contrast(y=CLIP, sr=RATE),
        FEATURE.tonnetz(chroma=chroma),
    )
    assert expected.shape == (173,)
    np.testing.assert_allclose(acoustic173.extract(CLIP), expected, rtol=1e-4, atol=1e-5)


def test_the_371_are_means_deviations_and_paces_without_the_level() -> None:
    decibels = librosa.power_to_db(FEATURE.melspectrogram(y=CLIP, sr=RATE), top_db=None)
    mfcc = FEATURE.mfcc(S=decibels - decibels.mean(), n_mfcc=20)
    features = named(acoustic371, CLIP)
    got = np.array(list(features.values()))
    np.testing.assert_allclose(got[:20], mfcc.mean(axis=1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got[175 : 175 + 20], mfcc.std(axis=1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got[350:370], np.abs(np.diff(mfcc, axis=1)).mean(axis=1), rtol=1e-3, atol=1e-3)
    assert features["seconds"] == pytest.approx(len(CLIP) / RATE)
    loud = np.array(list(named(acoustic371, 2 * CLIP).values()))
    np.testing.assert_allclose(loud, got, rtol=1e-3, atol=1e-2)


@ALL
def test_every_feature_has_a_name_of_its_own(module: ModuleType) -> None:
    features = module.extract(CLIP)
    assert features.dtype == np.float32
    assert len(features) == len(module.NAMES) == len(set(module.NAMES))


@BOTH
@pytest.mark.parametrize("rate", [RATE, 22_050])
def test_a_tone_is_in_its_pitch_class_whatever_the_rate(module: ModuleType, rate: int) -> None:
    chroma = {name: value for name, value in named(module, tone(2, 440.0, rate=rate), rate).items() if "chroma" in name}
    assert max(chroma, key=lambda name: chroma[name]) == "chroma_A"
    assert chroma["chroma_A"] == pytest.approx(1.0, abs=0.01)
    assert chroma["chroma_D"] < 0.1


def test_the_centroid_is_in_hertz_and_a_tone_crosses_zero_twice_a_period() -> None:
    features = named(acoustic94, tone(2, 400.0))
    assert features["spectral_centroid"] == pytest.approx(400.0, rel=0.1)
    assert features["zero_crossing_rate"] == pytest.approx(2 * 400 / RATE, rel=0.05)


def test_noise_has_less_contrast_than_a_voice() -> None:
    voice, hiss = (named(acoustic173, samples) for samples in (speech(), noise(2)))
    assert all(voice[f"contrast_{band}"] > hiss[f"contrast_{band}"] for band in range(3, 8))


@BOTH
def test_twice_as_loud_is_four_times_the_power_in_the_same_pitch_classes(module: ModuleType) -> None:
    quiet, loud = named(module, CLIP), named(module, 2 * CLIP)
    assert loud["mel_10"] == pytest.approx(4 * quiet["mel_10"], rel=1e-4)
    assert loud["chroma_A"] == pytest.approx(quiet["chroma_A"], rel=1e-4)


@ALL
@pytest.mark.parametrize(
    "samples", [silence(1), silence(0), tone(0.01), CLIP[:1]], ids=["silent", "empty", "short", "one"]
)
def test_what_is_hardly_a_recording_gives_finite_numbers_without_a_warning(
    module: ModuleType, samples: np.ndarray, recwarn: pytest.WarningsRecorder
) -> None:
    assert np.isfinite(module.extract(samples)).all()
    assert not recwarn.list
