"""Emotions while a person speaks: chunks of sound in, an update for each window out (paper-3, section 3.5, as a class).

A window is heard exactly as a recording of that length would be: the same detector, the same cleaning, the same model.
Nothing here has a thread or a clock of its own, so that the same sound gives the same updates however it was cut into
chunks, and a session can be played faster than real time.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_engine.analyzer import Analyzer
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import MAX_RATE, MIN_RATE
from ser_engine.audio.level import normalize_level, rms
from ser_engine.audio.quality import measure_quality
from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech, TooLarge
from ser_engine.groups import grouped
from ser_engine.live.ring_buffer import Resampler, RingBuffer, SessionAudio, to_mono
from ser_engine.live.transcript import LIVE, LONGEST_S, Segmenter, Utterance
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Recording, Scores, Span

# Three seconds are what the models were trained on; paper-3 (section 3.5.2) rates segments of two.
WINDOW_S, HOP_S = 3.0, 0.5
SHORTEST_S, LONGEST_WINDOW_S = 1.0, 10.0
# Nobody waits for a whole window: the first ones begin with the session and grow, from so many seconds on.
FIRST_S = 1.0
# A session may last an hour: its timeline of half seconds then takes some 5 MB.
MAX_SESSION_S = 3600.0
# How far behind the sound a window may be when it is scored. Who is further behind goes on with the newest window.
MAX_LAG_S = 1.0
# However late it is, one of so many windows is scored: a page that says nothing any more helps nobody.
SKIPPED_IN_A_ROW = 10
# Paper-3 (section 3.5.1): "If the energy is below 0.01, the server classifies the audio as 'Neutral'".
RMS_GATE = 0.01
# What has no speech in it and is below this (RMS, dB below full scale) is silence, above it noise: a quiet room lies
# below -50 dB with most microphones.
SILENCE_DB = -50.0
LOWEST_DB = -120.0
# An end shorter than this, after the last window, is not worth one more.
LEAST_REST_S = 0.1
# Long chunks are worked off in pieces, so that memory stays small.
PIECE_S = 1

Gate = Literal["speech", "rms"]
State = Literal["speech", "little", "noise", "silence"]
"""Someone speaks and is scored; has said too little to be; there is sound but no speech; there is nothing."""


@dataclass(frozen=True, slots=True)
class Update:
    """What was heard in one window.

    Attributes
    ----------
    start, end : of the window, seconds of the session
    state : see `State`
    scores : of the window, where its state is "speech"; else None
    speech_s : seconds of speech in the window
    level_db : RMS of what is new in the window since the one before, in dB below full scale
    skipped : how many windows of the session were left out so far, since scoring was behind
    """

    start: float
    end: float
    state: State
    scores: Scores | None
    speech_s: float
    level_db: float
    skipped: int = 0

    def grouped(self) -> Update:
        """Return the update with paper-3's four groups in place of the model's labels; see `groups.grouped`."""
        return self if self.scores is None else replace(self, scores=grouped(self.scores))

    def to_dict(self) -> dict[str, Any]:
        """Return the update as JSON-ready values."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "state": self.state,
            "top": self.scores.top if self.scores else None,
            "scores": self.scores.to_dict() if self.scores else None,
            "speech_s": round(self.speech_s, 3),
            "level_db": round(self.level_db, 1),
            "skipped": self.skipped,
        }


class LiveSession:
    """One person's session: `push` what the microphone gives, get updates; `finish` it.

    Use it from one thread; others may meanwhile read `timeline` and `level_db`, and take stretches of speech. Several
    sessions share one `Analyzer`.

    Parameters
    ----------
    analyzer : whose model and settings (noise reduction, least speech) are used
    window_s, hop_s : length of a window and from one to the next; the first windows are shorter, from `FIRST_S` on
    gate : "speech" for the speech detector, or "rms" for paper-3's: windows at 0.01 or more, heard as they are
    keep_audio : whether the session can be listened to and saved; 346 MB for an hour at 48 kHz, nothing otherwise
    words : whether stretches of speech are handed out to be transcribed; see `take_utterances`
    max_lag_s : how far behind a window may be when it is scored, where `push` is told
    clock : seconds that only ever grow; asked only where `push` is told how far behind it is

    Raises
    ------
    InvalidSettings
        A window, hop or gate that makes no sense.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        *,
        window_s: float = WINDOW_S,
        hop_s: float = HOP_S,
        gate: Gate = "speech",
        keep_audio: bool = False,
        words: bool = False,
        max_lag_s: float = MAX_LAG_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not SHORTEST_S <= window_s <= LONGEST_WINDOW_S:
            raise InvalidSettings(f"A live window has {SHORTEST_S:g} to {LONGEST_WINDOW_S:g} s, not {window_s:g}.")
        if not 0.1 <= hop_s <= window_s:
            raise InvalidSettings(f"From one live window to the next it is 0.1 to {window_s:g} s, not {hop_s:g}.")
        if gate not in get_args(Gate):
            raise InvalidSettings(f"A live session's gate is {' or '.join(get_args(Gate))}, not “{gate}”.")
        self.analyzer = analyzer
        self.gate: Gate = gate
        self.skipped = 0
        """Windows that were left out so far."""
        self.finished = False
        self._window, self._hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
        self._next = -(-round(min(FIRST_S, window_s) * SAMPLE_RATE) // self._hop) * self._hop
        self._last = 0
        self._max_lag_s, self._clock, self._late = max_lag_s, clock, False
        self._skipped_in_a_row = 0
        self._received_s = 0.0
        self._resampler = Resampler(SAMPLE_RATE)
        held = window_s + PIECE_S + 1 + (LONGEST_S + window_s if words else 0)
        self._latest = RingBuffer(round(held * SAMPLE_RATE))
        self._stretches = Segmenter(self._latest) if words else None
        self._kept = SessionAudio(MAX_SESSION_S) if keep_audio else None
        self._timeline: list[Update] = []

    @property
    def timeline(self) -> tuple[Update, ...]:
        """All updates so far."""
        return tuple(self._timeline)

    @property
    def duration_s(self) -> float:
        """Seconds of sound that were pushed."""
        return self._received_s

    @property
    def level_db(self) -> float:
        """RMS of the last tenth of a second, in dB below full scale, for a level meter."""
        total = self._latest.total
        return decibels(self._latest.between(total - SAMPLE_RATE // 10, total))

    def push(self, samples: NDArray, rate: int, behind_s: float | None = None) -> list[Update]:
        """Take the next chunk and return an update for each window that it completes.

        Parameters
        ----------
        samples : int16, int32 or floating point, [n] or [n, channels], of any length
        rate : Hz; it may change from chunk to chunk
        behind_s : seconds of sound that wait already behind this chunk. Told this, the session skips windows that are
            more than `max_lag_s` old, counts them, and goes on with the newest; left out, it skips none

        Raises
        ------
        InvalidAudio
            The samples or the rate are no sound, or the session is finished.
        TooLarge
            The session would become longer than an hour; nothing of the chunk is taken.
        WeightsUnavailable
            The emotion model is not there.
        """
        mono = to_mono(samples)
        if self.finished:
            raise InvalidAudio("This live session is finished; a new one has to be begun.")
        if not MIN_RATE <= rate <= MAX_RATE:
            allowed = f"{MIN_RATE // 1000} to {MAX_RATE // 1000} kHz"
            raise InvalidAudio(f"The microphone has a sample rate of {rate / 1000:g} kHz; {allowed} can be heard.")
        if self._received_s + len(mono) / rate > MAX_SESSION_S:
            raise TooLarge(f"A live session lasts at most {MAX_SESSION_S / 60:g} minutes.")
        begun = self._clock()
        updates: list[Update] = []
        for first in range(0, len(mono), PIECE_S * rate):
            piece = mono[first : first + PIECE_S * rate]
            self._received_s += len(piece) / rate
            if self._kept:
                self._kept.add(piece, rate)
            self._latest.add(self._resampler.add(piece, rate))
            rest_s = (len(mono) - first - len(piece)) / rate
            updates += self._due(None if behind_s is None else behind_s + rest_s, begun)
        return updates

    def finish(self) -> list[Update]:
        """End the session and return the updates that were still due, one for a last, cut-off hop among them."""
        if self.finished:
            return []
        self.finished = True
        self._latest.add(self._resampler.finish())
        if self._kept:
            self._kept.finish()
        updates = self._due(None)
        end = self._latest.total
        if end and (end - self._last >= LEAST_REST_S * SAMPLE_RATE or not self._timeline):
            updates.append(self._judge(end))
        if self._stretches:
            self._stretches.close(end / SAMPLE_RATE)
        return updates

    def take_utterances(self) -> list[Utterance]:
        """Return the utterances that ended at a pause since the last call: `Utterance.transcribe` gives their words.

        May be called from another thread. At most eight wait; where more had to, `lost_utterances` counts the oldest.
        """
        return self._stretches.take() if self._stretches else []

    def speaking(self) -> Utterance | None:
        """Return what is being said since the last pause, for words that are shown before the pause; None in one."""
        return self._stretches.so_far() if self._stretches else None

    @property
    def lost_utterances(self) -> int:
        """How many stretches of speech were not taken in time."""
        return self._stretches.lost if self._stretches else 0

    def wav(self) -> bytes:
        """Return the session as a 16-bit mono wav file at the rate of its first chunk.

        Raises
        ------
        InvalidSettings
            The session was begun without `keep_audio`.
        """
        if not self._kept:
            raise InvalidSettings("Nothing of this live session was kept.")
        return self._kept.wav()

    def to_dict(self) -> dict[str, Any]:
        """Return the session's timeline as JSON-ready values."""
        model = self.analyzer.model
        return {
            "model": model.id,
            "labels": list(model.labels),
            "duration_s": round(self.duration_s, 3),
            "window_s": self._window / SAMPLE_RATE,
            "hop_s": self._hop / SAMPLE_RATE,
            "gate": self.gate,
            "skipped": self.skipped,
            "updates": [update.to_dict() for update in self.timeline],
        }

    def _due(self, waiting_s: float | None, begun: float = 0.0) -> list[Update]:
        """Judge every window that is complete, but for those that are too late for it.

        `waiting_s` is the sound that was known to wait at the moment `begun`; None means that nobody is in a hurry.
        """
        updates = []
        while self._next <= self._latest.total:
            end, self._next = self._next, self._next + self._hop
            older_s = (self._latest.total - end) / SAMPLE_RATE
            if waiting_s is not None and self._too_late(older_s + waiting_s + self._clock() - begun):
                self.skipped += 1
                self._skipped_in_a_row += 1
                self._last = end
            else:
                self._skipped_in_a_row = 0
                updates.append(self._judge(end))
        return updates

    def _too_late(self, lag_s: float) -> bool:
        """Say whether to skip; once too late, until the newest window is reached, so that the lag does not stay."""
        self._late = lag_s > self._max_lag_s or (self._late and lag_s >= self._hop / SAMPLE_RATE)
        return self._late and self._skipped_in_a_row < SKIPPED_IN_A_ROW

    def _judge(self, end: int) -> Update:
        """Judge the window that ends at sample `end`, and remember it."""
        start = max(0, end - self._window)
        samples = self._latest.between(start, end)
        level = decibels(samples[self._last - end :])
        state, speech = listen(samples, self.analyzer, self.gate)
        scores = self.analyzer.model.predict([speech])[0].scores if speech else None
        self._last = end
        begin = start / SAMPLE_RATE
        spans = [Span(begin + span.start, begin + span.end) for span in speech.segments] if speech else []
        if self._stretches:
            self._stretches.window(end / SAMPLE_RATE, spans)
        seconds = speech.quality.speech_s if speech else 0.0
        update = Update(begin, end / SAMPLE_RATE, state, scores, seconds, level, self.skipped)
        self._timeline.append(update)
        return update


def listen(samples: NDArray[np.float32], analyzer: Analyzer, gate: Gate) -> tuple[State, CleanSpeech | None]:
    """Return what a window, float32 [n] at 16 kHz, is, and the speech in it as the model hears it."""
    window = Recording(samples, SAMPLE_RATE, LIVE)
    if gate == "rms":
        if rms(samples) < RMS_GATE:
            return "silence", None
        whole = (Span(0.0, window.duration_s),)
        return "speech", CleanSpeech(normalize_level(samples), whole, measure_quality(window, whole), samples)
    try:
        return "speech", clean_speech(window, analyzer.settings)
    except NoSpeech as error:
        if error.speech_s:
            return "little", None
        return ("silence" if decibels(samples) < SILENCE_DB else "noise"), None


def decibels(samples: NDArray[np.float32]) -> float:
    """Return the RMS level of float32 [n], whatever its offset, in dB below full scale, at least `LOWEST_DB`."""
    level = float(samples.std(dtype=np.float64)) if len(samples) else 0.0
    return max(LOWEST_DB, 20 * float(np.log10(max(level, 1e-12))))


def to_csv(updates: Sequence[Update]) -> str:
    """Return a timeline as CSV: one row a window, a column for each label, empty where nothing was scored."""
    labels = next((update.scores.labels for update in updates if update.scores), ())
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("start", "end", "state", "top", "speech_s", "level_db", "skipped", *labels))
    for update in updates:
        row = update.to_dict()
        scores = row.pop("scores") or dict.fromkeys(labels)
        table.writerow([row[name] for name in ("start", "end", "state", "top", "speech_s", "level_db", "skipped")]
                       + [scores[label] for label in labels])  # fmt: skip
    return text.getvalue()
