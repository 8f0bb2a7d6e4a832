"""The path of a recording: decode, detect speech and clean, transcribe, classify.

Importing this module is cheap; torch and whatever needs it are imported when they are first used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech, SerError, TooLarge
from ser_engine.models import trained_on
from ser_engine.models.base import Model
from ser_engine.models.cards import read_cards, read_figures
from ser_engine.models.registry import find_model, load_model
from ser_engine.sentences import cut_sentences, edit_words, score_sentences
from ser_engine.settings import Settings
from ser_engine.speakers.lanes import Lane, drop_lane_warnings, merge_answers, merge_speech, mute
from ser_engine.transcription.alignment import select_words
from ser_engine.transcription.transcriber import Transcriber, compile_alignment, load_transcriber
from ser_engine.types import (
    SAMPLE_RATE,
    WINDOW_S,
    Analysis,
    Baseline,
    Channel,
    CleanSpeech,
    Explanation,
    Prediction,
    Quality,
    Recording,
    Scores,
    Span,
    TimelineWindow,
    Transcript,
)

if TYPE_CHECKING:
    from ser_engine.audio.channels import Selection

Progress = Callable[[str, float | None], None]
"""Called with (stage, None) when a stage of `types.STAGES` begins and with (stage, seconds) when it ends."""

Source = bytes | str | Path | Recording | NDArray[Any]
"""The bytes of an encoded recording, its path, a decoded recording, or samples [n] or [channels, n]."""

_Part = tuple[Span, CleanSpeech, Transcript | None]  # of a recording: its speech, and the words said in it
_Classified = tuple[Prediction, tuple[TimelineWindow, ...], Transcript | None]  # the transcript with emotions

# A recording longer than this gets a timeline of overlapping windows, which are as long as the utterances that the
# models were trained on. A window with less speech than the last figure is left out.
TIMELINE_FROM_S, HOP_S, WINDOW_SPEECH_S = 6.0, 1.5, 0.5
BASELINE_UNUSED = "The baseline was not used: it is that of one speaker, and the recording has several."
# Seconds of calm speech: a baseline of less gains too little (docs/accuracy.md); what exceeds the second figure is left
# out, since it would change little and is encoded in one piece.
MIN_BASELINE_S, MAX_BASELINE_S = 15.0, 120.0


@dataclass(frozen=True)
class _Preprocessed:
    """A recording as it is analyzed, its speech, and the seconds of each stage so far.

    `lanes` are the speech of each of several speakers, without `overlaps`; `channels` are those of the file.
    """

    recording: Recording
    speech: CleanSpeech
    seconds: dict[str, float]
    lanes: tuple[Lane, ...] = ()
    overlaps: tuple[Span, ...] = ()
    channels: tuple[Channel, ...] = ()


class Analyzer:
    """Analyzes recordings; safe to share between threads, which then share one copy of the models.

    Parameters
    ----------
    settings : `Settings.from_env()` by default
    on_download : called with (bytes done, bytes in all or 0) while Whisper's weights are downloaded, where the
        settings permit that
    """

    def __init__(self, settings: Settings | None = None, on_download: Callable[[int, int], None] | None = None) -> None:
        self.settings = settings or Settings.from_env()
        self._on_download = on_download
        self._loading = threading.Lock()
        self._model: Model | None = None
        self._trained_on: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._transcriber: Transcriber | None = None

    def analyze(
        self,
        source: Source,
        sampling_rate: int | None = None,
        *,
        name: str = "",
        transcribe: bool | None = None,
        baseline: Baseline | None = None,
        channels: str | int | None = None,
        progress: Progress | None = None,
    ) -> Analysis:
        """Analyze one recording.

        Parameters
        ----------
        source : bytes of an encoded recording, its path, or samples [n] or [channels, n], floats in -1..1 or integers
        sampling_rate : of samples, in Hz
        name : of the recording in the answer; a path's file name by default
        transcribe : whether to transcribe the words; `settings.transcribe` by default
        baseline : of the speaker, from `calibrate`; not used where there are several speakers
        channels : to analyze, "auto", "mix", "split" or the number of one from 1; `settings.channels` by default
        progress : called when each stage begins and ends

        Raises
        ------
        InvalidAudio, TooLarge
            The recording cannot be decoded, exceeds a limit, or does not have the channels that are asked for.
        NoSpeech
            It contains too little speech.
        WeightsUnavailable
            A model that the settings name is missing.
        InvalidSettings
            Whisper does not know the language that the settings name, another model made the baseline, or `channels`
            is none of those.
        """
        begun = time.perf_counter()
        self.check_baseline(baseline)
        preprocessed = self._preprocess(source, sampling_rate, name, baseline, channels, progress)
        (analysis,) = self._predict([preprocessed], transcribe, progress)
        return replace(analysis, seconds={**analysis.seconds, "total": time.perf_counter() - begun})

    def analyze_batch(
        self,
        sources: Sequence[Source],
        sampling_rate: int | None = None,
        *,
        names: Sequence[str] | None = None,
        transcribe: bool | None = None,
        baseline: Baseline | None = None,
        channels: str | int | None = None,
    ) -> list[Analysis | SerError]:
        """Analyze recordings together, which is faster than one by one; all are held in memory.

        Parameters and errors are as of `analyze`, but an error of one recording (InvalidAudio, TooLarge, NoSpeech) is
        returned in its place. The time of a stage that is shared is divided evenly. With a baseline, all recordings are
        of its speaker.
        """
        self.check_baseline(baseline)
        results: list[_Preprocessed | SerError] = []
        for source, name in zip(sources, names or [""] * len(sources), strict=True):
            try:
                results.append(self._preprocess(source, sampling_rate, name, baseline, channels))
            except (InvalidAudio, TooLarge, NoSpeech) as error:
                results.append(error)
        pending = [result for result in results if not isinstance(result, SerError)]
        analyses = iter(self._predict(pending, transcribe) if pending else ())
        return [result if isinstance(result, SerError) else next(analyses) for result in results]

    def calibrate(
        self, source: Source, sampling_rate: int | None = None, *, name: str = "", channels: str | int = "auto"
    ) -> Baseline:
        """Return a speaker's baseline from calm speech, with which `analyze` compares other recordings of the speaker.

        Parameters are as of `analyze`, except that the settings' `channels` do not apply. Speech beyond
        `MAX_BASELINE_S` is not used.

        Raises
        ------
        InvalidAudio, TooLarge
            The recording cannot be decoded, exceeds a limit, or has several speakers.
        NoSpeech
            It contains less than `MIN_BASELINE_S` of speech.
        WeightsUnavailable
            A model that the settings name is missing.
        InvalidSettings
            The model cannot use a baseline.
        """
        unable = InvalidSettings(f"The model “{self.model.id}” cannot be calibrated to a voice; choose another model.")
        if not self.model.can_calibrate:
            raise unable
        preprocessed = self._preprocess(source, sampling_rate, name, channels=channels)
        if preprocessed.lanes:
            names = ", ".join(lane.name for lane in preprocessed.lanes)
            raise InvalidAudio(f"The recording has several speakers ({names}), but calibration is to one voice.")
        speech = preprocessed.speech
        seconds = speech.quality.speech_s
        if seconds < MIN_BASELINE_S:
            needed = f"at least {MIN_BASELINE_S:g} s is needed to calibrate to a voice"
            raise NoSpeech(f"Only {seconds:.2f} s of speech was found; {needed}.", seconds)
        most = round(MAX_BASELINE_S * SAMPLE_RATE)
        baseline = self.model.calibrate(replace(speech, samples=speech.samples[:most]))
        if baseline is None:
            raise unable
        return baseline

    def check_baseline(self, baseline: Baseline | None) -> None:
        """Raise InvalidSettings if another model made the baseline."""
        if baseline is not None and not self.model.accepts(baseline):
            made = f"The baseline was made by the model “{baseline.model}”"
            raise InvalidSettings(f"{made}, which is not part of “{self.model.id}”; calibrate again.")

    def rescore(self, analysis: Analysis, words: str) -> Analysis:
        """Return the analysis of the same recording with these words instead, all else unchanged.

        A model that uses text caches what it computes from the latest recordings, so that the speech is not encoded
        again. `analysis` comes from this analyzer; of several speakers, lines of the words begin with the name of one,
        as in the transcript's text. Raise WeightsUnavailable if the model is not there any more.
        """
        edited = edit_words(analysis, words)
        if not self.model.uses_text:
            return edited
        own = [each.answer for each in edited.speakers] or [edited]
        classified = self._classify([answer.speech for answer in own], [answer.transcript for answer in own])
        answers = [
            replace(answer, transcript=scored, timeline=timeline, **vars(prediction))
            for answer, (prediction, timeline, scored) in zip(own, classified, strict=True)
        ]
        if not analysis.speakers:
            return answers[0]
        lanes = [Lane(each.answer.speech, each.name, each.channel) for each in analysis.speakers]
        merged = merge_answers(analysis.recording, analysis.speech, lanes, answers, analysis.overlaps)
        return replace(merged, channels=analysis.channels)

    def explain(self, analysis: Analysis) -> Explanation:
        """Weigh moments and words of a recording in its answer, and measure the voice; `analysis` is this analyzer's.

        The weight of a moment is how far the log-odds of the most probable emotion fall if it is removed, in two to 24
        pieces of half a second or more (see `explanation`), while the words stay the same. Those are weighed in the
        same way (`models.word_weights`). Of several speakers, explain the answer of each: `speaker.answer`. Raise
        WeightsUnavailable if the model is not there any more, and ValueError for several speakers together.
        """
        if analysis.speakers:
            raise ValueError("The recording has several speakers: explain the answer of each (`speaker.answer`).")
        from ser_engine.explanation import cut_pieces, weigh
        from ser_engine.features.voice import measure_voice

        pieces = cut_pieces(analysis.speech)
        moments = weigh(analysis, pieces, self._classify_without(analysis, pieces))
        label, transcript = analysis.scores.top, analysis.transcript
        words = self.model.weigh_words(transcript, label) if transcript else ("", ())
        return Explanation(label, moments, measure_voice(analysis.speech.samples), *words)

    def _classify_without(self, analysis: Analysis, pieces: Sequence[tuple[int, int]]) -> list[Scores]:
        """Score a recording without each piece (samples from, to); windows that it does not touch keep their scores."""
        from ser_engine.explanation import remove

        known = {window.start: Prediction(window.scores) for window in analysis.timeline}
        whole = _cut_windows(analysis.speech, None) if known else []
        lengths = {span.start: len(speech.samples) for span, speech, _ in whole}
        changed: dict[tuple[int, float], _Part] = {}
        weights: list[dict[float, float]] = []
        for row, piece in enumerate(pieces):
            parts = _cut_windows(remove(analysis.speech, *piece), analysis.transcript)
            weights.append({span.start: speech.duration_s for span, speech, _ in parts})
            changed |= {
                (row, each[0].start): each for each in parts if len(each[1].samples) != lengths.get(each[0].start)
            }
        predictions = self.model.predict(
            [part for _, part, _ in changed.values()], [words for *_, words in changed.values()]
        )
        fresh = dict(zip(changed, predictions, strict=True))
        return [
            Prediction.mean([fresh.get((row, start)) or known[start] for start in own], list(own.values())).scores
            for row, own in enumerate(weights)
        ]

    def _preprocess(
        self,
        source: Source,
        sampling_rate: int | None,
        name: str,
        baseline: Baseline | None = None,
        channels: str | int | None = None,
        progress: Progress | None = None,
    ) -> _Preprocessed:
        from ser_engine.audio.channels import measure_channels, select_channels
        from ser_engine.audio.clean import clean_speech
        from ser_engine.audio.decode import load_audio, load_samples
        from ser_engine.speakers.diarization import separate

        settings = self.settings if channels is None else replace(self.settings, channels=str(channels))
        seconds: dict[str, float] = {}
        with _stage("decode", seconds, progress):
            if isinstance(source, np.ndarray):
                recording = load_samples(source, sampling_rate, self.settings, name)
            elif isinstance(source, Recording):
                recording = source
            else:
                recording = load_audio(source, self.settings, name)
        with _stage("clean", seconds, progress):
            selection = select_channels(recording, settings)
            lanes = self._split(recording, selection)
            if lanes:
                speech = merge_speech(lanes, selection.recording.warnings)
            else:
                speech = clean_speech(selection.recording, settings)
                lanes = separate(speech, settings)
            if not lanes:
                speech = replace(speech, baseline=baseline)
            elif baseline is not None:
                speech = speech.warned(BASELINE_UNUSED)
            measured = measure_channels(recording, selection, speech.segments)
        return _Preprocessed(selection.recording, speech, seconds, lanes, channels=measured)

    def _split(self, recording: Recording, selection: Selection) -> tuple[Lane, ...]:
        """Return the speech of each channel that has a speaker of its own."""
        from ser_engine.audio.channels import one_channel
        from ser_engine.audio.clean import clean_speech

        lanes = []
        for number, spans in selection.own.items():
            own = one_channel(recording, number)
            speech = mute(clean_speech(own, self.settings, spans), selection.leaks[number])
            lanes.append(Lane(drop_lane_warnings(speech), selection.names[number - 1], number, own))
        return tuple(lanes)

    def _predict(
        self, pending: Sequence[_Preprocessed], transcribe: bool | None, progress: Progress | None = None
    ) -> list[Analysis]:
        """Transcribe and classify recordings together; the time of both is divided evenly."""
        transcribe = self.settings.transcribe if transcribe is None else transcribe
        shared: dict[str, float] = {}
        lanes = [each.lanes or (Lane(each.speech),) for each in pending]
        speeches = [lane.speech for own in lanes for lane in own]
        with _stage("transcribe", shared, progress):
            transcripts: Sequence[Transcript | None] = [None] * len(speeches)
            if transcribe:
                transcripts = self.transcriber.transcribe_all(speeches, words=self.settings.words)
        with _stage("classify", shared, progress):
            classified = iter(self._classify(speeches, transcripts))
        analyses = []
        for each, own in zip(pending, lanes, strict=True):
            seconds = each.seconds | {stage: duration / len(pending) for stage, duration in shared.items()}
            seconds["total"] = sum(seconds.values())
            answers = [
                self._answer(lane.recording or each.recording, lane.speech, next(classified), seconds) for lane in own
            ]
            analysis = answers[0]
            if each.lanes:
                analysis = merge_answers(each.recording, each.speech, own, answers, each.overlaps)
            analyses.append(self._warn_of_training(replace(analysis, channels=each.channels)))
        return analyses

    def _answer(
        self, recording: Recording, speech: CleanSpeech, classified: _Classified, seconds: Mapping[str, float]
    ) -> Analysis:
        prediction, timeline, transcript = classified
        return Analysis(
            recording.source.name, self.model.id, prediction.scores, transcript, timeline, speech.quality, seconds,
            recording, speech, prediction.modalities, self.model.threshold,
        )  # fmt: skip

    def _warn_of_training(self, analysis: Analysis) -> Analysis:
        """Add a warning if the emotion model was trained on the very recording."""
        if not trained_on.contains(self._trained_on, analysis.recording.source.sha256):
            return analysis
        speech = analysis.speech.warned(trained_on.WARNING)
        return replace(analysis, quality=speech.quality, speech=speech)

    def _classify(self, speeches: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None]) -> list[_Classified]:
        """Score a short recording as one utterance, a long one as the mean of its windows weighted by their speech.

        Each window is scored with the words said in it, and each sentence of the transcript by itself.
        """
        parts = [_cut_windows(*both) for both in zip(speeches, transcripts, strict=True)]
        sentences = [
            cut_sentences(speech, transcript, len(own) == 1, self.settings.min_speech_s)
            for speech, transcript, own in zip(speeches, transcripts, parts, strict=True)
        ]
        flat = [(part, words) for own in parts for _, part, words in own]
        flat += [each for rows in sentences for each in rows.values()]
        predictions = self.model.predict([part for part, _ in flat], [words for _, words in flat])
        windows, alone = iter(predictions), iter(predictions[sum(map(len, parts)) :])
        classified: list[_Classified] = []
        for own, rows, transcript in zip(parts, sentences, transcripts, strict=True):
            scored = [next(windows) for _ in own]
            timeline = tuple(
                TimelineWindow(span.start, span.end, each.scores, each.scores.reach(self.model.threshold))
                for (span, *_), each in zip(own, scored, strict=True)
            )
            prediction = (
                Prediction.mean(scored, [speech.duration_s for _, speech, _ in own]) if len(own) > 1 else scored[0]
            )
            scores = {row: next(alone).scores for row in rows}
            rest = prediction.scores if len(own) == 1 else None  # of sentences that were not scored by themselves
            said = transcript and score_sentences(transcript, scores, rest, self.model.threshold)
            classified.append((prediction, timeline if len(own) > 1 else (), said))
        return classified

    def warm_up(self) -> None:
        """Load every model and run it once, so that the first analysis does not wait for it."""
        from ser_engine.audio.vad import detect_speech
        from ser_engine.models.speaker_encoder import load_encoder

        if self.settings.speakers != "off":
            load_encoder(self.settings)
        noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE).astype(np.float32)
        detect_speech(noise)
        speech = CleanSpeech(noise, (Span(0.0, 1.0),), Quality(1.0, 1.0, SAMPLE_RATE, 8000.0, None, 0.0, -26.0, False))
        self.model.predict([speech])
        if self.settings.transcribe:
            self.transcriber.transcribe(speech)
            if self.settings.words:
                compile_alignment()

    @property
    def model(self) -> Model:
        """The emotion model that the settings name, loaded at first use."""
        with self._loading:
            if self._model is None:
                folder = find_model(self.settings)
                self._trained_on = trained_on.read_digests(folder)
                self._model = load_model(folder, self.settings)
            return self._model

    @property
    def can_calibrate(self) -> bool | None:
        """Whether the emotion model can use a baseline; None until the model has been loaded, without loading it."""
        return None if self._model is None else self._model.can_calibrate

    @property
    def transcriber(self) -> Transcriber:
        """Whisper, loaded at first use."""
        with self._loading:
            if self._transcriber is None:
                self._transcriber = load_transcriber(self.settings, self._on_download)
            return self._transcriber

    def card(self) -> dict[str, Any] | None:
        """Return the emotion model's measured figures without loading it: see `models.cards.read_figures`."""
        return read_figures(self.settings)

    def cards(self) -> dict[str, str]:
        """Return the cards of the emotion model and its parts, by their names: see `models.cards.read_cards`."""
        return read_cards(self.settings)


def _cut_windows(speech: CleanSpeech, transcript: Transcript | None) -> list[_Part]:
    """Return the windows of a long recording that contain enough speech; the whole where there are fewer than two."""
    duration = speech.quality.duration_s
    windows: list[_Part] = []
    starts = np.arange(0.0, duration - WINDOW_S + HOP_S, HOP_S) if duration > TIMELINE_FROM_S else ()
    for start in starts:
        span = Span(float(start), float(min(start + WINDOW_S, duration)))
        if sum(max(0.0, min(span.end, s.end) - max(span.start, s.start)) for s in speech.segments) >= WINDOW_SPEECH_S:
            part = replace(speech, samples=speech.between(span.start, span.end))
            windows.append((span, part, transcript and select_words(transcript, span.start, span.end)))
    return windows if len(windows) > 1 else [(Span(0.0, duration), speech, transcript)]


@contextmanager
def _stage(stage: str, seconds: dict[str, float], progress: Progress | None) -> Iterator[None]:
    """Time one stage and report its begin and end."""
    if progress:
        progress(stage, None)
    begun = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begun
    if progress:
        progress(stage, seconds[stage])
