"""Clean a recording and separate its speakers: by channels, and by voices on one channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.channels import Selection, measure_channels, one_channel, select_channels
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.quality import normalize_level
from ser_engine.audio.sound import Sound
from ser_engine.audio.stretches import Stretch, cut_stretches
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import Turn
from ser_engine.speakers.lanes import Lane, drop_lane_warnings, merge_speech, mute
from ser_engine.speakers.spans import intersect
from ser_engine.speakers.turns import TurnFinder, may_be_several, separate
from ser_engine.speakers.voice_kind import add_speakers_kinds, name_voice
from ser_engine.types import Baseline, Channel, CleanSpeech, Recording, Span, shift

BASELINE_UNUSED = "The baseline was not used: it is that of one speaker, and the recording has several."


@dataclass(frozen=True)
class Preprocessed:
    """A recording as it is analyzed, and its speech.

    `lanes` are the speech of each of several speakers, without `overlaps`; `channels` are those of the file.
    """

    recording: Recording
    speech: CleanSpeech
    lanes: tuple[Lane, ...] = ()
    overlaps: tuple[Span, ...] = ()
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What holds for all of a long recording, found before any of it is answered.

    Attributes
    ----------
    stretches : in which it is analyzed
    turns : of several speakers on one channel; None otherwise
    apart : whether channels carry a speaker each
    channels : those of the file, with the quality of its beginning
    notes : on the choice among the channels, and on the baseline
    baseline : of the speaker, if there is only one
    """

    stretches: tuple[Stretch, ...]
    turns: tuple[Turn, ...] | None
    apart: bool
    channels: tuple[Channel, ...]
    notes: tuple[str, ...]
    baseline: Baseline | None

    def within(self, stretch: Stretch) -> tuple[Turn, ...] | None:
        """Return the turns in a stretch, with times that count from its beginning."""
        if self.turns is None:
            return None
        moved = (replace(turn, start=max(0.0, turn.start)) for turn in shift(self.turns, -stretch.start_s))
        return tuple(turn for turn in moved if turn.start < turn.end)


def plan_stretches(sound: Sound, settings: Settings, baseline: Baseline | None, step: Callable[[], object]) -> Plan:
    """Choose among the channels by the beginning of a long recording, cut it, and find who speaks when.

    The sound is from then on that of the chosen channels. `step` is called every few seconds. Errors are as of
    `preprocess`.
    """
    beginning = sound.beginning(settings.whole_s)
    selection = select_channels(beginning, settings)
    apart, several = bool(selection.own), may_be_several(settings, sound.duration_s)
    sound.weights = selection.weights
    finder = TurnFinder(settings)

    def visit(samples: NDArray[np.float32], stretch: Stretch) -> None:
        step()
        if several and not apart:
            finder.add(normalize_level(samples), stretch.speech, stretch.start_s)

    stretches = tuple(cut_stretches(sound, settings.stretch_s, visit))
    turns = finder.turns()
    one = len({turn.speaker for turn in turns}) < 2
    speech = tuple(intersect([Span(0.0, beginning.duration_s)], _speech(stretches)))
    measured = measure_channels(beginning, selection, speech)
    notes = tuple(note for note in selection.recording.warnings if note not in beginning.warnings)
    if baseline is not None and (apart or not one):
        notes, baseline = (*notes, BASELINE_UNUSED), None
    return Plan(stretches, None if one else turns, apart, measured, notes, baseline)


def _speech(stretches: Sequence[Stretch]) -> list[Span]:
    return [span for stretch in stretches for span in shift(stretch.speech, stretch.start_s)]


def preprocess_stretch(recording: Recording, stretch: Stretch, plan: Plan, settings: Settings) -> Preprocessed:
    """Clean a stretch of a long recording and separate the speakers; errors are as of `preprocess`.

    Its samples at the file's own rate, which take the most memory, are not kept.
    """
    own = replace(settings, channels="split" if plan.apart else "auto")
    done = preprocess(recording, own, plan.baseline, None if plan.apart else stretch.speech, plan.within(stretch))
    quality = replace(done.speech.quality, warnings=())  # of the whole: see `merging`
    lanes = tuple(replace(lane, recording=lane.recording and lane.recording.without_samples()) for lane in done.lanes)
    whole = done.recording.without_samples()
    return Preprocessed(whole, replace(done.speech, quality=quality), lanes, done.overlaps)


def preprocess(
    recording: Recording,
    settings: Settings,
    baseline: Baseline | None = None,
    speech: tuple[Span, ...] | None = None,
    turns: Sequence[Turn] | None = None,
) -> Preprocessed:
    """Choose among the channels, clean the speech and separate the speakers.

    Parameters
    ----------
    recording : with all of its channels
    settings : `channels`, `channel_names`, `speakers`, `min_speech_s` and `noise_reduction` apply
    baseline : used where there is one speaker
    speech, turns : that of the recording, and of its speakers on one channel, where they are known

    Raises
    ------
    InvalidAudio
        It does not have the channels that the settings name.
    NoSpeech
        It contains too little speech.
    WeightsUnavailable
        The encoder of voices is missing.
    """
    selection = select_channels(recording, settings)
    lanes = _split(recording, selection, settings)
    overlaps: tuple[Span, ...] = ()
    if lanes:
        whole = merge_speech(lanes, selection.recording.warnings)
    else:
        whole = clean_speech(selection.recording, settings, speech)
        lanes, overlaps = separate(whole, settings, turns)
        if turns is not None and not lanes:
            raise NoSpeech("No speaker says more than a word or two.", whole.quality.speech_s)
        lanes = tuple(replace(lane, speech=name_voice(lane.speech, settings)) for lane in lanes)
        kinds = {lane.name: lane.speech.quality.voice_kinds for lane in lanes}
        whole = replace(whole, quality=add_speakers_kinds(whole.quality, kinds))
    if not lanes:
        whole = replace(name_voice(whole, settings), baseline=baseline)
    elif baseline is not None:
        whole = whole.warned(BASELINE_UNUSED)
    known = {lane.channel: lane.speech.quality for lane in lanes if lane.channel is not None}
    measured = measure_channels(recording, selection, whole.segments, known)
    return Preprocessed(selection.recording, whole, lanes, overlaps, measured)


def _split(recording: Recording, selection: Selection, settings: Settings) -> tuple[Lane, ...]:
    """Return the speech of each channel that has a speaker of its own."""
    lanes = []
    for number, spans in selection.own.items():
        own = one_channel(recording, number)
        speech = mute(name_voice(clean_speech(own, settings, spans), settings), selection.leaks[number])
        lanes.append(Lane(drop_lane_warnings(speech), selection.names[number - 1], number, own))
    return tuple(lanes)
