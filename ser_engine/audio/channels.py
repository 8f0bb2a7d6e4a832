"""Choose what is analyzed of a recording of several channels: their mean, the better one, or a speaker each.

The decision rests on frames of 20 ms in the band of speech: whether the channels carry the same wave
(one scene, or an inverted channel), and otherwise where each has speech that the other one lacks, and whether their
envelopes rise and fall together (microphones in a room) or not (the two sides of a call, the headsets of a meeting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.biquad import highpass, lowpass
from ser_engine.audio.clean import resample
from ser_engine.audio.decode import SILENCE_PEAK
from ser_engine.audio.quality import CLIPPED_SHARE, clipped_share, measure_quality
from ser_engine.audio.vad import MIN_SILENCE_S, MIN_SPEECH_S, detect_speech
from ser_engine.errors import InvalidAudio
from ser_engine.settings import Settings, variable
from ser_engine.types import SAMPLE_RATE, Channel, Quality, Recording, Span, total_s

BAND_HZ, FRAME_S, FRAME = (200.0, 4000.0), 0.02, 320
# Power of the mean relative to that of the difference of two channels, from 1 (equal) to -1 (inverted): beyond these
# they carry one scene. Voices that are panned 10 dB to the sides reach 0.6, those of a call with 15 dB of cross-talk
# 0.35, and an inverted voice under noise of its own level -0.5.
SAME, INVERTED = 0.45, -0.4
# Where one channel is this much quieter than the other, its speech is cross-talk. Calls have 20 to 30 dB.
LEAK_DB = 12.0
# Cross-talk may come a little later (rooms, lines), and levels are compared over this time.
ECHO_S, SMOOTH_S = 0.2, 0.3
ENVELOPE_S = 0.1
# Two channels carry different speakers if their envelopes are less correlated than the first number, and the share of
# loud frames in which they carry the same wave (half of the power or more) is less than the second. On simulated
# scenes, calls with noise, cross-talk and speakers at once reach 0.3 and 0.01. Microphones in a room begin at a
# correlation of 0.5; voices that are panned by 10 dB, or in the middle of louder babble, at a share of 0.1.
APART, SHARED, SHARED_POWER = 0.35, 0.05, 0.5
# A channel of the same scene that is this much quieter only adds noise, but replaces one that is clipped up to here.
FAR_DB, MOST_DB = 20.0, 30.0
# Less speech of its own, in seconds, makes no speaker; a whole channel with none is left out.
MIN_OWN_S = 0.5
CLIPPED = "is clipped (its loudest parts are cut off)"
# Arrays: as many channels are searched for speech, those with the widest range of levels.
MOST_SEARCHED = 8


@dataclass(frozen=True)
class Selection:
    """What is analyzed of a recording.

    `recording` is that as a whole, mono, with warnings of what was left out. `used` are the numbers of the channels in
    it, from 1, and `weights`, float32 [channels], what they are multiplied with; None of a file with one. Where
    channels carry a speaker each, `own` is each one's speech, by its number, and `leaks` is speech of the others in it.
    `names` has one name for each channel of the file.
    """

    recording: Recording
    used: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    own: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    leaks: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    weights: NDArray[np.float32] | None = None


def select_channels(recording: Recording, settings: Settings) -> Selection:
    """Choose among the channels of a recording, as `settings.channels` says.

    Raise InvalidAudio if it does not have the channel that is asked for, or not as many as there are names where each
    is a speaker.
    """
    channels = settings.channels
    count = 1 if recording.channels is None else len(recording.channels)
    if channels.isdecimal() and int(channels) > count:
        have = "1 channel" if count == 1 else f"{count} channels"
        asked = f"channel {channels} is asked for (--channels, {variable('channels')})"
        raise InvalidAudio(f"The recording has {have}, but {asked}.")
    if recording.channels is None or (recording.channels == recording.channels[0]).all():
        why = "has one channel" if count == 1 else "has the same sound in all channels"
        notes = (f"The recording {why}, so it is not split.",) if channels == "split" else ()
        return Selection(replace(recording, channels=None, warnings=(*recording.warnings, *notes)))
    chooser = _Chooser(recording, recording.channels, settings)
    if channels.isdecimal():
        return chooser.choose((int(channels) - 1,))
    if channels == "mix":
        return chooser.choose(range(count))
    if channels == "split":
        return chooser.split()
    return chooser.choose_of_two() if count == 2 else chooser.choose_of_many()


def measure_channels(
    recording: Recording, selection: Selection, speech: Sequence[Span], known: Mapping[int, Quality] | None = None
) -> tuple[Channel, ...]:
    """Return each channel of a recording with its quality, measured over its own speech, else over `speech`.

    `known` are the qualities of some channels, by their numbers, which are not measured again.
    """
    if recording.channels is None or not selection.names:
        return ()
    channels = []
    for number, (name, samples) in enumerate(zip(selection.names, recording.channels, strict=True), start=1):
        quality = (known or {}).get(number)
        quality = quality or _quality(recording, samples, selection.own.get(number, speech))
        channels.append(Channel(number, name, number in selection.used, quality))
    return tuple(channels)


def one_channel(recording: Recording, number: int) -> Recording:
    """Return a channel, counted from 1, as a recording of its own, without warnings."""
    assert recording.channels is not None
    samples = np.ascontiguousarray(recording.channels[number - 1])
    return replace(recording, samples=samples, channels=None, warnings=())


class _Chooser:
    """The decisions for one recording of several different channels, float32 [channels, n]; rows count from 0."""

    def __init__(self, recording: Recording, channels: NDArray[np.float32], settings: Settings) -> None:
        self.recording, self.channels, self.count = recording, channels, len(channels)
        self.least_s = settings.min_speech_s
        names = settings.names_of_channels()
        self.given = names if len(names) == self.count else ()
        self.expected = len(names)
        default = ("Left", "Right") if self.count == 2 else [f"Channel {row + 1}" for row in range(self.count)]
        self.names = self.given or tuple(default)

    def choose(self, rows: Sequence[int], *notes: str, signs: Sequence[int] | None = None) -> Selection:
        """Select the mean of some channels, each with one of `signs` or as it is."""
        weights = np.zeros(self.count, np.float32)
        weights[list(rows)] = np.asarray(signs or 1, np.float32) / len(rows)
        if len(rows) == 1:
            samples = np.ascontiguousarray(self.channels[rows[0]])
        else:
            samples = self.recording.samples if signs is None else weights @ self.channels
        warnings = (*self.recording.warnings, *notes)
        whole = replace(self.recording, samples=samples, channels=None, warnings=warnings)
        return Selection(whole, tuple(row + 1 for row in rows), self.names, weights=weights)

    def choose_of_two(self) -> Selection:
        """Select of two channels what carries the speech."""
        silent = [not _has_sound(samples) for samples in self.channels]
        if any(silent):
            return self.choose((0, 1)) if all(silent) else self._leave_out(silent.index(True), "is silent")
        sound = [_Sound(samples, self.recording.rate) for samples in self.channels]
        alike = _likeness(*sound)
        if alike >= SAME:
            return self._choose_scene()
        if alike <= INVERTED:
            note = "The right channel is the left one inverted, so that their mean would cancel the voice"
            return self._choose_scene(f"{note}; their difference is used.", signs=(1, -1))
        speech = [each.detect() for each in sound]
        own, _ = _share_out(sound, speech)
        seconds = [total_s(spans) for spans in own]
        enough = [0 < min(MIN_OWN_S, max(seconds) / 2) <= each for each in seconds]
        if all(enough) and _are_apart(sound, speech):
            return self.split(sound, speech)
        levels = [10 * np.log10(each.powers.sum() + 1e-12) for each in sound]
        quieter = enough.index(False) if enough.count(True) == 1 else int(levels[1] < levels[0])
        distance = levels[1 - quieter] - levels[quieter]
        if not speech[quieter]:
            return self._leave_out(quieter, "has no voice")
        clipped = [clipped_share(channel) >= CLIPPED_SHARE for channel in self.channels]
        if distance < MOST_DB and clipped[1 - quieter] and not clipped[quieter]:
            return self._leave_out(1 - quieter, CLIPPED)
        if distance > FAR_DB or enough.count(True) == 1:
            return self._leave_out(quieter, "only repeats the other one, far quieter")
        return self._choose_scene()

    def choose_of_many(self) -> Selection:
        """Select of three or more channels a speaker each, or else the one in which the voice is clearest."""
        sound = [_Sound(samples, self.recording.rate) for samples in self.channels]
        live = [row for row in range(self.count) if _has_sound(self.channels[row])]
        differ = _envelopes_differ([sound[row] for row in live])
        searched = live if differ else sorted(live, key=lambda row: -sound[row].level_range)[:MOST_SEARCHED]
        speech = [each.detect() if row in searched else () for row, each in enumerate(sound)]
        if differ:
            own, _ = _share_out(sound, speech)
            rows = [row for row in searched if total_s(own[row]) >= MIN_OWN_S]
            pairs = [([sound[one], sound[other]], [own[one], own[other]]) for one, other in combinations(rows, 2)]
            if pairs and all(_are_apart(*pair) for pair in pairs):
                return self.split(sound, speech)
        return self._choose_best(speech)

    def _choose_best(self, speech: Sequence[tuple[Span, ...]]) -> Selection:
        """Select the channel in which the voice is clearest, among those that were searched for speech."""
        seconds = [total_s(spans) for spans in speech]
        if not any(seconds):
            return self.choose(range(self.count))
        spoken = [row for row in range(self.count) if seconds[row] >= max(seconds) / 2]
        quality = {row: _quality(self.recording, self.channels[row], speech[row]) for row in spoken}
        best = max(spoken, key=lambda row: (quality[row].clipping < CLIPPED_SHARE, quality[row].snr_db or 0.0))
        others = f"--channels or {variable('channels')} chooses others"
        name = f"channel {best + 1}" + (f" (“{self.given[best]}”)" if self.given else "")
        note = f"Of {self.count} channels, {name} alone is used, where the voice is clearest; {others}."
        return self.choose((best,), note)

    def split(
        self, sound: Sequence[_Sound] | None = None, speech: Sequence[tuple[Span, ...]] | None = None
    ) -> Selection:
        """Select every channel with speech of its own as a speaker."""
        if self.expected not in (0, self.count):
            given = f"{self.expected} {'name is' if self.expected == 1 else 'names are'} given"
            raise InvalidAudio(
                f"The recording has {self.count} channels, but {given} (--channel-names, {variable('channel_names')})."
            )
        if sound is None or speech is None:
            sound = [_Sound(samples, self.recording.rate) for samples in self.channels]
            speech = [each.detect() for each in sound]
        own, leaks = _share_out(sound, speech)
        rows = [row for row in range(self.count) if total_s(own[row]) >= self.least_s]
        notes = [f"{self._name(row)} has no speech of its own." for row in range(self.count) if row not in rows]
        chosen = self.choose(range(self.count), *(notes if rows else []))
        numbered = {row + 1: (own[row], leaks[row]) for row in rows}
        return replace(
            chosen,
            used=tuple(numbered) or chosen.used,
            own={number: spans for number, (spans, _) in numbered.items()},
            leaks={number: spans for number, (_, spans) in numbered.items()},
        )

    def _choose_scene(self, *notes: str, signs: Sequence[int] | None = None) -> Selection:
        """Select the mean of two channels of one scene, or of one that is clipped the other."""
        shares = [clipped_share(channel) for channel in self.channels]
        worse = int(shares[1] > shares[0])
        if shares[worse] >= CLIPPED_SHARE:
            return self._leave_out(worse, CLIPPED if shares[1 - worse] < CLIPPED_SHARE else "is clipped more")
        return self.choose((0, 1), *notes, signs=signs)

    def _leave_out(self, row: int, why: str) -> Selection:
        other = self._name(1 - row)
        note = f"{self._name(row)} {why}; {other[0].lower()}{other[1:]} alone is used."
        return self.choose((1 - row,), note)

    def _name(self, row: int) -> str:
        if self.given:
            return f"The channel “{self.given[row]}”"
        return f"The {self.names[row].lower()} channel" if self.count == 2 else self.names[row]


class _Sound:
    """A channel at 16 kHz, float32 [n], and the power of its frames in the band of speech, float32 [frames]."""

    def __init__(self, samples: NDArray[np.float32], rate: int) -> None:
        samples = resample(np.ascontiguousarray(samples), rate)
        self.samples = samples - samples.mean()
        band = lowpass(highpass(self.samples, BAND_HZ[0], SAMPLE_RATE), BAND_HZ[1], SAMPLE_RATE)
        self.frames = band[: len(band) // FRAME * FRAME].reshape(-1, FRAME)
        self.powers = np.einsum("ij,ij->i", self.frames, self.frames)

    def detect(self) -> tuple[Span, ...]:
        """Return the spans of speech."""
        return detect_speech(self.samples) if _has_sound(self.samples) else ()

    @property
    def level_range(self) -> float:
        """The level of loud frames over that of soft ones in dB, at most 60."""
        levels = 10 * np.log10(np.quantile(self.powers + 1e-12, [0.1, 0.9]))
        return min(60.0, float(np.ptp(levels)))

    def envelope(self) -> NDArray[np.float32]:
        """Return the level of frames as means over `ENVELOPE_S`."""
        from scipy.ndimage import uniform_filter1d  # here, since most recordings have one channel

        means = uniform_filter1d(self.powers, round(ENVELOPE_S / FRAME_S))
        return np.asarray(np.sqrt(np.maximum(means, 0)))

    def smooth(self) -> NDArray[np.float32]:
        """Return the power of frames as means over `SMOOTH_S`."""

        from scipy.ndimage import uniform_filter1d  # here, since most recordings have one channel

        means = uniform_filter1d(self.powers, round(SMOOTH_S / FRAME_S), mode="nearest")
        return np.asarray(np.maximum(means, 0))


def _likeness(one: _Sound, other: _Sound) -> float:
    """Return how far two channels are the same wave at the same level: 1 if they are, -1 if one is inverted."""
    both = float(one.powers.sum() + other.powers.sum())
    return 2 * float(np.einsum("ij,ij->", one.frames, other.frames)) / both if both else 0.0


def _are_apart(sound: Sequence[_Sound], speech: Sequence[tuple[Span, ...]]) -> bool:
    """Return whether two channels carry different speakers, as far as there is speech in either; see `APART`."""

    one, other = sound
    spoken = _mask(speech[0], len(one.powers)) | _mask(speech[1], len(other.powers))
    both = (one.powers + other.powers)[spoken]
    common = 2 * np.einsum("ij,ij->i", one.frames[spoken], other.frames[spoken])
    loud = both >= np.median(both)
    if (common > SHARED_POWER * both)[loud].mean() >= SHARED:
        return False
    first, second = (each.envelope()[spoken] for each in sound)
    return min(np.ptp(first), np.ptp(second)) == 0 or float(np.corrcoef(first, second)[0, 1]) < APART


def _envelopes_differ(sound: Sequence[_Sound]) -> bool:
    """Return whether the envelopes of any two of these channels, none of which is silent, are little correlated.

    Those of a microphone array never are, so that not all of its channels need be searched for speech.
    """
    if len(sound) < 2:
        return False
    envelopes = np.stack([each.envelope() for each in sound])
    return bool(np.nanmin(np.corrcoef(envelopes)) < APART)


def _share_out(
    sound: Sequence[_Sound], speech: Sequence[tuple[Span, ...]]
) -> tuple[list[tuple[Span, ...]], list[tuple[Span, ...]]]:
    """Return the speech of each channel without cross-talk, and the cross-talk, which is far louder in another one."""
    import scipy.ndimage

    powers = [each.smooth() for each in sound]
    frames = round(ECHO_S / FRAME_S)
    # The largest of a frame and those just before it.
    held = [scipy.ndimage.maximum_filter1d(each, frames, origin=(frames - 1) // 2) for each in powers]
    own, leaks = [], []
    for row, spans in enumerate(speech):
        loudest = np.max([each for other, each in enumerate(held) if other != row], axis=0)
        leaked = powers[row] < loudest * 10 ** (-LEAK_DB / 10)
        mine = _spans(_mask(spans, len(leaked)) & ~leaked, spans)
        own.append(mine)
        leaks.append(_spans(_mask(spans, len(leaked)) & ~_mask(mine, len(leaked)), spans))
    return own, leaks


def _mask(spans: Sequence[Span], count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, bool)
    for span in spans:
        mask[round(span.start / FRAME_S) : round(span.end / FRAME_S)] = True
    return mask


def _spans(mask: NDArray[np.bool_], within: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of spans in which frames are marked; short gaps are closed, and short parts left out."""
    parts: list[Span] = []
    for span in within:
        first, last = round(span.start / FRAME_S), round(span.end / FRAME_S)
        edges = np.flatnonzero(np.diff(mask[first:last], prepend=False, append=False)).reshape(-1, 2)
        inside: list[Span] = []
        for begin, end in edges * FRAME_S + first * FRAME_S:
            begin, end = max(span.start, float(begin)), min(span.end, float(end))
            if inside and begin - inside[-1].end < MIN_SILENCE_S:
                begin = inside.pop().start
            inside.append(Span(begin, end))
        parts += [part for part in inside if part.duration_s >= MIN_SPEECH_S]
    return tuple(parts)


def _has_sound(samples: NDArray[np.float32]) -> bool:
    """Return whether float32 [n] is louder than silence, apart from a constant offset."""
    return float(np.ptp(samples)) / 2 >= SILENCE_PEAK


def _quality(recording: Recording, samples: NDArray[np.float32], speech: Sequence[Span]) -> Quality:
    samples = np.ascontiguousarray(samples)
    return measure_quality(replace(recording, samples=samples, channels=None, warnings=()), speech)
