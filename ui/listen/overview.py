"""What the page draws and plays of a recording: made from its parts as they are decoded, and small in any case."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ser_engine.audio.decode import encode_wav
from ser_engine.features.mel import mel_power
from ser_engine.types import Recording

MAX_POINTS = 1500
"""Points of a waveform's envelope: more than a wide screen has columns, few enough to draw at once."""
MAX_COLUMNS = 600
"""Columns of a spectrogram; beyond them frames are averaged."""
FRAMES_PER_COLUMN = 8
"""Frames averaged into one column of a long recording, spread evenly over it."""
MEL_BANDS = 64
TOP_HZ = 8000.0
"""Half of the models' sample rate; frequencies above are not used."""
WAV, MP3 = "audio/wav", "audio/mpeg"
WAV_S = 120.0
"""Seconds up to which sound is played as it is; more becomes MP3, which every browser plays, too."""
MP3_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
COMPRESSION = 0.9
"""libsndfile's level: a constant 24 to 56 kbit/s, which is enough for speech, and in which browsers seek exactly."""


class Overview:
    """The outline, the spectrogram and the sound of a recording; `add` takes its parts, in order.

    Attributes
    ----------
    duration_s, rate : length in seconds, and sample rate in Hz
    lowest, highest : the extreme samples of equal stretches, float32 [at most MAX_POINTS]

    `encoded` is the recording as it was given, which is played itself where browsers can surely do so.
    """

    def __init__(self, encoded: bytes = b"") -> None:
        self._encoded = encoded if playable(encoded) else None
        self.duration_s, self.rate = 0.0, 0
        self.lowest = self.highest = np.empty(0, np.float32)
        self._mel: NDArray[np.float64] = np.empty((MEL_BANDS, 0))
        self._frames: NDArray[np.int64] = np.empty(0, np.int64)  # of each column
        self._sound = Player(0, 0)

    @classmethod
    def of(cls, recording: Recording) -> Overview:
        """Return the overview of a recording in memory."""
        overview = cls()
        overview.add(recording, 0.0, recording.duration_s)
        return overview

    @property
    def sound(self) -> tuple[bytes, str]:
        """The bytes of a file that plays the recording, and their type; no part can be added any more."""
        return (self._encoded, WAV) if self._encoded is not None else (self._sound.data, self._sound.format)

    @property
    def power(self) -> NDArray[np.float64]:
        """The mean power in `MEL_BANDS`, float64 [MEL_BANDS, about MAX_COLUMNS at most]."""
        return self._mel / np.maximum(1, self._frames)

    def add(self, part: Recording, start_s: float, duration_s: float) -> None:
        """Take a part that begins at `start_s` of a recording of `duration_s` seconds."""
        samples, rate = part.samples, part.rate
        total = max(1, round(duration_s * rate))
        if not self.rate:
            self.duration_s, self.rate = duration_s, rate
            points = min(MAX_POINTS, total)
            self.lowest, self.highest = np.full(points, np.inf, np.float32), np.full(points, -np.inf, np.float32)
            self._sound = Player(rate, duration_s)
        first = round(start_s * rate)
        self._add_outline(samples, first, total)
        self._add_spectrum(samples, first, total)
        if self._encoded is None:
            self._sound.add(samples)

    def _add_outline(self, samples: NDArray[np.float32], first: int, total: int) -> None:
        starts = np.linspace(0, total, len(self.lowest), endpoint=False).astype(np.int64)
        begin = int(np.searchsorted(starts, first, "right")) - 1
        end = int(np.searchsorted(starts, first + len(samples), "left"))
        edges = np.maximum(starts[begin:end] - first, 0)
        if len(edges):
            self.lowest[begin:end] = np.minimum(self.lowest[begin:end], np.minimum.reduceat(samples, edges))
            self.highest[begin:end] = np.maximum(self.highest[begin:end], np.maximum.reduceat(samples, edges))

    def _add_spectrum(self, samples: NDArray[np.float32], first: int, total: int) -> None:
        window = 2 ** round(np.log2(0.04 * self.rate))
        hop = window // 4
        if total > MAX_COLUMNS * hop:
            hop = int(np.ceil(total / (MAX_COLUMNS * FRAMES_PER_COLUMN)))
        frames = -(-total // hop)
        pooled = int(np.ceil(frames / MAX_COLUMNS))
        if not len(self._frames):
            self._frames = np.zeros(-(-frames // pooled), np.int64)
            self._mel = np.zeros((MEL_BANDS, len(self._frames)))
        frame = -(-first // hop)  # the first whose middle is in the part
        if len(samples) <= (offset := frame * hop - first):
            return
        power = mel_power(samples[offset:], self.rate, window, hop, MEL_BANDS, min(TOP_HZ, self.rate / 2))
        power = power[:, : -(-(len(samples) - offset) // hop)]  # without one whose middle is the end
        columns = np.minimum(np.arange(frame, frame + power.shape[1]) // pooled, len(self._frames) - 1)
        np.add.at(self._mel.T, columns, power.T)
        np.add.at(self._frames, columns, 1)


class Player:
    """Sound as the bytes of a file that browsers play: WAV, or MP3 where it is long; `add` takes its parts.

    `rate` is that of the samples in Hz, `duration_s` the length of all of them.
    """

    def __init__(self, rate: int, duration_s: float) -> None:
        self._rate, self._long = rate, duration_s > WAV_S
        self._parts: list[NDArray[np.float32]] = []
        self._bytes = io.BytesIO()
        self._mp3_rate = rate if rate in MP3_RATES else MP3_RATES[-1]
        self._encoder: soundfile.SoundFile | None = None
        self._data: bytes | None = None

    @property
    def format(self) -> str:
        """The type of the file."""
        return MP3 if self._long else WAV

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, float32 [n]."""
        if not self._long:
            self._parts.append(samples)
            return
        if self._encoder is None:
            options = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": COMPRESSION}
            self._encoder = soundfile.SoundFile(self._bytes, "w", self._mp3_rate, 1, **options)
        if self._mp3_rate != self._rate:
            samples = soxr.resample(samples, self._rate, self._mp3_rate, quality="HQ")
        self._encoder.write(np.clip(samples, -1, 1))

    @property
    def data(self) -> bytes:
        """The bytes of the file; nothing can be added any more."""
        if self._data is None:
            if self._encoder is not None:
                self._encoder.close()
            samples = np.concatenate([np.empty(0, np.float32), *self._parts])
            self._data = self._bytes.getvalue() if self._long else encode_wav(samples, self._rate)
            self._parts, self._bytes = [], io.BytesIO()
        return self._data


def encode_player(samples: NDArray[np.float32], rate: int) -> tuple[bytes, str]:
    """Return float32 [n] at `rate` Hz as the bytes of a file that browsers play, and their type."""
    player = Player(rate, len(samples) / rate)
    player.add(samples)
    return player.data, player.format


def playable(data: bytes) -> bool:
    """Whether an encoded recording is a plain and complete WAV file, which is played as it is: with no copy of it."""
    whole = int.from_bytes(data[4:8], "little") + 8 == len(data)
    return data.startswith(b"RIFF") and whole and data[20:22] in (b"\x01\0", b"\x03\0")
