"""Predict emotions while a person speaks: chunks of audio in, an update for each window out (Islam, section 3.5).

A window is processed exactly like a recording of that length, with the same voice activity detection, cleaning and
model. Sessions have no threads or clock of their own, so the same audio gives the same updates in whatever chunks it
arrives, and can be played faster than real time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_engine.analyzer import Analyzer
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.limits import MAX_RATE, MIN_RATE
from ser_engine.audio.quality import measure_quality, normalize_level, rms
from ser_engine.blas import one_blas_thread
from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech, TooLarge
from ser_engine.labels import group_scores
from ser_engine.live.ring_buffer import Resampler, RingBuffer, SessionAudio, to_mono
from ser_engine.live.segmenter import LONGEST_S, Segmenter
from ser_engine.live.transcript import LIVE, SpeechSegment
from ser_engine.types import SAMPLE_RATE, Baseline, CleanSpeech, Recording, Scores, Span

# Three seconds, like the training clips of the models; Islam (section 3.5.2) classifies segments of two.
WINDOW_S, HOP_S = 3.0, 0.5
SHORTEST_S, LONGEST_WINDOW_S = 1.0, 10.0
# The first windows begin with the session and grow from this length, so that results come early.
FIRST_S = 1.0
# The timeline of an hour, at half a second per update, takes some 5 MB.
MAX_SESSION_S = 3600.0
# The most that a window may lag behind the audio when it is scored. Beyond it, windows are skipped up to the newest.
MAX_LAG_S = 1.0
# However large the lag, one of so many windows is scored, so that there are always some updates.
SKIPPED_IN_A_ROW = 10
# Islam (section 3.5.1): "If the energy is below 0.01, the server classifies the audio as 'Neutral'".
RMS_GATE = 0.01
# Windows without speech are silence below this level (RMS, dB below full scale) and noise above it: a quiet room lies
# below -50 dB with most microphones.
SILENCE_DB = -50.0
LOWEST_DB = -120.0
# A remainder shorter than this, after the last window, gets no window of its own.
LEAST_REST_S = 0.1
# Long chunks are processed in pieces, to save memory.
PIECE_S = 1

Gate = Literal["speech", "rms"]
State = Literal["speech", "little", "noise", "silence"]
"""Speech that is scored; too little speech to be scored; noise without speech; silence."""


@dataclass(frozen=True, slots=True)
class Update:
    """The result of one window.

    Attributes
    ----------
    start, end : of the window, seconds of the session
    state : see `State`
    scores : of the window, where its state is "speech"; else None
    speech_s : seconds of speech in the window
    level_db : RMS of the part of the window that is new since the one before, in dB below full scale
    skipped : windows of the session skipped so far, because scoring lagged behind
    sure : false where the model abstains; None without scores or without a threshold, as with groups
    """

    start: float
    end: float
    state: State
    scores: Scores | None
    speech_s: float
    level_db: float
    skipped: int = 0
    sure: bool | None = None

    def grouped(self) -> Update:
        """Return the update with Islam's four groups in place of the model's labels; see `labels.group_scores`."""
        return self if self.scores is None else replace(self, scores=group_scores(self.scores), sure=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the update as JSON-ready values."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "state": self.state,
            "top": self.scores.top if self.scores else None,
            "sure": self.sure,
            "scores": self.scores.to_dict() if self.scores else None,
            "speech_s": round(self.speech_s, 3),
            "level_db": round(self.level_db, 1),
            "skipped": self.skipped,
        }


class LiveSession:
    """One person's session: `push` audio to get updates, then `finish` it.

    To be used from one thread; others may meanwhile read `timeline` and `level_db`, and take segments of speech.
    Several sessions can share one `Analyzer`. Raise InvalidSettings for an invalid window, hop or gate, and for the
    baseline of another model.

    Parameters
    ----------
    analyzer : its model and settings (`noise_reduction`, `min_speech_s`) apply
    window_s, hop_s : length of a window, and time between two; the first windows are shorter, from `FIRST_S` on
    gate : "speech" for voice activity detection, or "rms" for Islam's gate: every window at 0.01 or more counts
    keep_audio : whether to store the audio for `wav`; an hour at 48 kHz takes 346 MB
    words : whether to offer segments of speech for transcription; see `take_segments`
    baseline : of the person who speaks, from `Analyzer.calibrate`
    max_lag_s : the most that a window may lag behind the audio when it is scored, where `push` gets `behind_s`
    clock : monotonic seconds; used only where `push` gets `behind_s`
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
        baseline: Baseline | None = None,
        max_lag_s: float = MAX_LAG_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not SHORTEST_S <= window_s <= LONGEST_WINDOW_S:
            raise InvalidSettings(f"A live window lasts {SHORTEST_S:g} to {LONGEST_WINDOW_S:g} s, not {window_s:g}.")
        if not 0.1 <= hop_s <= window_s:
            raise InvalidSettings(f"The hop between live windows is 0.1 to {window_s:g} s, not {hop_s:g}.")
        if gate not in get_args(Gate):
            raise InvalidSettings(f"The gate of a live session is {' or '.join(get_args(Gate))}, not “{gate}”.")
        analyzer.check_baseline(baseline)
        self.analyzer = analyzer
        self.gate: Gate = gate
        self.baseline = baseline
        self.timeline: tuple[Update, ...] = ()
        """All updates so far."""
        self.duration_s = 0.0
        """Seconds of audio pushed so far."""
        self.skipped = 0
        """Windows skipped so far."""
        self.finished = False
        self._window, self._hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
        self._next = -(-round(min(FIRST_S, window_s) * SAMPLE_RATE) // self._hop) * self._hop
        self._last = 0
        self._max_lag_s, self._clock, self._late = max_lag_s, clock, False
        self._skipped_in_a_row = 0
        self._resampler = Resampler(SAMPLE_RATE)
        held = window_s + PIECE_S + 1 + (LONGEST_S + window_s if words else 0)
        self._audio = RingBuffer(round(held * SAMPLE_RATE))
        self._segmenter = Segmenter(self._audio) if words else None
        self._stored = SessionAudio(MAX_SESSION_S) if keep_audio else None

    @property
    def level_db(self) -> float:
        """RMS of the last tenth of a second, in dB below full scale, for a level meter."""
        total = self._audio.total
        return decibels(self._audio.between(total - SAMPLE_RATE // 10, total))

    def push(self, samples: NDArray[Any], rate: int, behind_s: float | None = None) -> list[Update]:
        """Process the next chunk and return an update for each window that it completes.

        Parameters
        ----------
        samples : int16, int32 or floating point, [n] or [n, channels], of any length
        rate : Hz; it may change from chunk to chunk
        behind_s : seconds of audio already waiting behind this chunk. If given, windows older than `max_lag_s` are
            skipped and counted, up to the newest; otherwise none is skipped

        Raises
        ------
        InvalidAudio
            Invalid samples or rate, or the session is finished.
        TooLarge
            The session would exceed an hour; the whole chunk is dropped.
        WeightsUnavailable
            The emotion model is missing.
        """
        mono = to_mono(samples)
        if self.finished:
            raise InvalidAudio("This live session is finished; start a new one.")
        if not MIN_RATE <= rate <= MAX_RATE:
            allowed = f"{MIN_RATE // 1000} to {MAX_RATE // 1000} kHz"
            raise InvalidAudio(f"The microphone has a sample rate of {rate / 1000:g} kHz; {allowed} is supported.")
        if self.duration_s + len(mono) / rate > MAX_SESSION_S:
            raise TooLarge(f"A live session lasts at most {MAX_SESSION_S / 60:g} minutes.")
        begun = self._clock()
        updates: list[Update] = []
        for first in range(0, len(mono), PIECE_S * rate):
            piece = mono[first : first + PIECE_S * rate]
            self.duration_s += len(piece) / rate
            if self._stored:
                self._stored.add(piece, rate)
            self._audio.add(self._resampler.add(piece, rate))
            rest_s = (len(mono) - first - len(piece)) / rate
            updates += self._score_due(None if behind_s is None else behind_s + rest_s, begun)
        return updates

    def finish(self) -> list[Update]:
        """End the session and return the remaining updates, including one for an incomplete last hop."""
        if self.finished:
            return []
        self.finished = True
        self._audio.add(self._resampler.finish())
        if self._stored:
            self._stored.finish()
        updates = self._score_due(None)
        end = self._audio.total
        if end and (end - self._last >= LEAST_REST_S * SAMPLE_RATE or not self.timeline):
            updates.append(self._score_window(end))
        if self._segmenter:
            self._segmenter.close(end / SAMPLE_RATE)
        return updates

    def take_segments(self) -> list[SpeechSegment]:
        """Return the segments of speech that ended at a pause since the last call, to be transcribed.

        May be called from another thread. At most eight segments wait; the oldest beyond that are dropped and counted
        by `lost_segments`.
        """
        return self._segmenter.take() if self._segmenter else []

    @property
    def lost_segments(self) -> int:
        """Segments of speech dropped because they were not taken in time."""
        return self._segmenter.lost if self._segmenter else 0

    def wav(self) -> bytes:
        """Encode the session as a 16-bit mono WAV file at the rate of its first chunk."""
        if not self._stored:
            raise InvalidSettings("The audio of this live session was not stored; set keep_audio to store it.")
        return self._stored.wav()

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
            "baseline_s": None if self.baseline is None else round(self.baseline.speech_s, 3),
            "skipped": self.skipped,
            "updates": [update.to_dict() for update in self.timeline],
        }

    def _score_due(self, waiting_s: float | None, begun: float = 0.0) -> list[Update]:
        """Score every complete window, except those that are late.

        `waiting_s` is the audio that was waiting at the moment `begun`; None means that no window is ever late.
        """
        updates = []
        while self._next <= self._audio.total:
            end, self._next = self._next, self._next + self._hop
            older_s = (self._audio.total - end) / SAMPLE_RATE
            if waiting_s is not None and self._is_late(older_s + waiting_s + self._clock() - begun):
                self.skipped += 1
                self._skipped_in_a_row += 1
                self._last = end
            else:
                self._skipped_in_a_row = 0
                updates.append(self._score_window(end))
        return updates

    def _is_late(self, lag_s: float) -> bool:
        """Return whether to skip a window; once late, up to the newest, so that the lag does not persist."""
        self._late = lag_s > self._max_lag_s or (self._late and lag_s >= self._hop / SAMPLE_RATE)
        return self._late and self._skipped_in_a_row < SKIPPED_IN_A_ROW

    @one_blas_thread
    def _score_window(self, end: int) -> Update:
        """Score the window that ends at sample `end`, and add it to the timeline."""
        start = max(0, end - self._window)
        samples = self._audio.between(start, end)
        level = decibels(samples[self._last - end :])
        state, speech = preprocess_window(samples, self.analyzer, self.gate)
        model = self.analyzer.model
        scores = model.predict([replace(speech, baseline=self.baseline)])[0].scores if speech else None
        sure = scores.reach(model.threshold) if scores else None
        self._last = end
        begin = start / SAMPLE_RATE
        if self._segmenter:
            spans = [Span(begin + span.start, begin + span.end) for span in speech.segments] if speech else []
            self._segmenter.add_window(end / SAMPLE_RATE, spans)
        seconds = speech.quality.speech_s if speech else 0.0
        update = Update(begin, end / SAMPLE_RATE, state, scores, seconds, level, self.skipped, sure)
        self.timeline += (update,)
        return update


def preprocess_window(samples: NDArray[np.float32], analyzer: Analyzer, gate: Gate) -> tuple[State, CleanSpeech | None]:
    """Return the state of a window, float32 [n] at 16 kHz, and its speech, ready for the model."""
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
    """Return the RMS level of float32 [n] without its offset, in dB below full scale, at least `LOWEST_DB`."""
    level = float(samples.std(dtype=np.float64)) if len(samples) else 0.0
    return max(LOWEST_DB, 20 * float(np.log10(max(level, 1e-12))))


def to_csv(updates: Sequence[Update]) -> str:
    """Format a timeline as CSV: one row per window, one column per label, empty in windows without scores."""
    import pandas as pd

    labels = next((update.scores.labels for update in updates if update.scores), ())
    rows = [row | (row.pop("scores") or {}) for row in (update.to_dict() for update in updates)]
    columns = ["start", "end", "state", "top", "sure", "speech_s", "level_db", "skipped", *labels]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")
