"""The path of a recording: decode, detect speech and clean, transcribe, classify.

Importing this module is cheap; torch and whatever needs it are imported when they are first used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech, SerError, TooLarge
from ser_engine.memory import trim_memory
from ser_engine.merging import merge_stretches
from ser_engine.models import trained_on
from ser_engine.models.base import Model
from ser_engine.models.cards import read_cards, read_figures
from ser_engine.models.registry import find_model, load_model
from ser_engine.sentences import cut_sentences, score_sentences
from ser_engine.settings import Settings, variable
from ser_engine.speakers.lanes import Lane, merge_answers, select_speaker
from ser_engine.transcription.alignment import replace_words, select_words
from ser_engine.transcription.transcriber import Transcriber, compile_alignment, load_transcriber
from ser_engine.types import (
    NO_SAMPLES,
    SAMPLE_RATE,
    WINDOW_S,
    Analysis,
    Baseline,
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
    from ser_engine.audio.sound import Sound

Progress = Callable[[str, float | None], None]
"""Called with (stage, None) when a stage of `types.STAGES` begins and with (stage, seconds) when it ends.

A long recording is analyzed in stretches: each of them has its stages, and `seconds` are those of all so far.
"""

Advance = Callable[[float, float], None]
"""Called every few seconds with the seconds of the recording that have been analyzed, and those in all (0: unknown)."""

OnDecoded = Callable[[Recording, float, float], None]
"""Called with each decoded part of a recording, its start in seconds, and the seconds of the whole."""

Source = Union[bytes, str, Path, BinaryIO, Recording, "Sound", NDArray[Any]]
"""The bytes of an encoded recording, its path, the open file, its sound, or samples [n] or [channels, n]."""

_Part = tuple[Span, CleanSpeech, Transcript | None]  # of a recording: its speech, and the words said in it
_Classified = tuple[Prediction, tuple[TimelineWindow, ...], Transcript | None]  # the transcript with emotions

# A recording longer than this gets a timeline of overlapping windows, which are as long as the utterances that the
# models were trained on. A window with less speech than the last figure is left out.
TIMELINE_FROM_S, HOP_S, WINDOW_SPEECH_S = 6.0, 1.5, 0.5
# Seconds of calm speech: a baseline of less gains too little (docs/accuracy.md); what exceeds the second figure is left
# out, since it would change little and is encoded in one piece.
MIN_BASELINE_S, MAX_BASELINE_S = 15.0, 120.0
# Windows and sentences of a long recording that are scored between two calls of `Advance`.
SCORED_TOGETHER = 32
# The share of the work on a stretch that its transcription is, for the progress; the rest is mostly its classification.
TRANSCRIBING = 0.7


@dataclass(frozen=True)
class _Preprocessed:
    """A recording, its speech, and the seconds of each stage so far.

    `lanes` are the speech of each of several speakers, without `overlaps`.
    """

    recording: Recording
    speech: CleanSpeech
    seconds: dict[str, float]
    lanes: tuple[Lane, ...] = ()
    overlaps: tuple[Span, ...] = ()


@dataclass
class _Report:
    """What an analysis reports on its way, by the callbacks of `Analyzer.analyze`.

    `done_s` of `total_s` seconds have been analyzed, and the next `current_s` are on their way; `seconds` are those
    that each stage took.
    """

    progress: Progress | None = None
    advance: Advance | None = None
    decoded: OnDecoded | None = None
    done_s: float = 0.0
    current_s: float = 0.0
    total_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Time one stage and report its begin and end."""
        if self.progress:
            self.progress(stage, None)
        begun = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
        if self.progress:
            self.progress(stage, self.seconds[stage])

    def step(self, begin: float = 0.0, end: float = 0.0, share: float = 0.0) -> None:
        """Report how far the analysis is: with the current part, at that `share` of what leads from `begin` to `end`.

        The callback may end the analysis by an exception.
        """
        if self.advance:
            self.advance(self.done_s + self.current_s * (begin + (end - begin) * share), self.total_s)


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
        track: int | None = None,
        progress: Progress | None = None,
        advance: Advance | None = None,
        decoded: OnDecoded | None = None,
    ) -> Analysis:
        """Analyze one recording; of one longer than `settings.whole_s`, the samples are not kept in the answer.

        Parameters
        ----------
        source : bytes of an encoded recording, its path, an open file, or samples [n] or [channels, n], floats in -1..1
            or integers
        sampling_rate : of samples, in Hz
        name : of the recording in the answer; a path's file name by default
        transcribe : whether to transcribe the words; `settings.transcribe` by default
        baseline : of the speaker, from `calibrate`
        track : audio track of a file, from 1, or 0 to choose it as `settings.track` says; that setting by default
        progress, advance, decoded : called as the analysis goes on; an exception that one of them raises ends it

        Raises
        ------
        InvalidAudio, TooLarge
            The recording cannot be decoded, or exceeds a limit.
        NoSpeech
            It contains too little speech.
        WeightsUnavailable
            A model that the settings name is missing.
        InvalidSettings
            Whisper does not know the language that the settings name, or another model made the baseline.
        """
        begun = time.perf_counter()
        self.check_baseline(baseline)
        report = _Report(progress, advance, decoded)
        with self._open(source, sampling_rate, name, report, track) as sound:
            if sound.recording is None:
                analysis = self._analyze_stretches(sound, transcribe, baseline, report)
            else:
                preprocessed = self._preprocess(sound.recording, baseline, report)
                (analysis,) = self._predict([preprocessed], transcribe, report)
        return replace(analysis, seconds={**analysis.seconds, "total": time.perf_counter() - begun})

    def analyze_batch(
        self,
        sources: Sequence[Source],
        sampling_rate: int | None = None,
        *,
        names: Sequence[str] | None = None,
        transcribe: bool | None = None,
        baseline: Baseline | None = None,
    ) -> list[Analysis | SerError]:
        """Analyze recordings together, which is faster than one by one.

        They are held in memory, apart from long ones, which are analyzed one by one. Parameters and errors are as of
        `analyze`, but an error of one recording (InvalidAudio, TooLarge, NoSpeech) is returned in its place. The time
        of a stage that is shared is divided evenly. With a baseline, all recordings are of its speaker.
        """
        self.check_baseline(baseline)
        results: list[Analysis | SerError | None] = []
        pending: list[_Preprocessed] = []
        for source, name in zip(sources, names or [""] * len(sources), strict=True):
            report = _Report()
            try:
                with self._open(source, sampling_rate, name, report) as sound:
                    if sound.recording is None:
                        results.append(self._analyze_stretches(sound, transcribe, baseline, report))
                    else:
                        pending.append(self._preprocess(sound.recording, baseline, report))
                        results.append(None)
            except (InvalidAudio, TooLarge, NoSpeech) as error:
                results.append(error)
        analyses = iter(self._predict(pending, transcribe) if pending else ())
        return [next(analyses) if result is None else result for result in results]

    def calibrate(self, source: Source, sampling_rate: int | None = None, *, name: str = "") -> Baseline:
        """Return a speaker's baseline from calm speech, with which `analyze` compares other recordings of the speaker.

        Parameters are as of `analyze`. Speech beyond `MAX_BASELINE_S` is not used.

        Raises
        ------
        InvalidAudio, TooLarge
            The recording cannot be decoded, or exceeds a limit.
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
        report = _Report()
        with self._open(source, sampling_rate, name, report) as sound:
            # Of a long recording, its beginning has more than enough speech.
            recording = sound.recording or sound.beginning(self.settings.whole_s)
        speech = self._preprocess(recording, None, report).speech
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
        again. `analysis` comes from this analyzer. Raise WeightsUnavailable if the model is not there any more,
        TooLarge if the recording is so long that its samples were not kept.
        """
        transcript = replace_words(analysis.transcript, words, analysis.speech.segments)
        if not self.model.uses_text:
            return replace(analysis, transcript=transcript)
        self._require_sound(analysis, "Edited words are scored again")
        own = [each.answer for each in analysis.speakers] or [analysis]
        parts = [select_speaker(transcript, each.name) for each in analysis.speakers] or [transcript]
        answers = [
            replace(answer, transcript=scored, timeline=timeline, **vars(prediction))
            for answer, (prediction, timeline, scored) in zip(
                own, self._classify([answer.speech for answer in own], parts), strict=True
            )
        ]
        if not analysis.speakers:
            return answers[0]
        lanes = [Lane(each.answer.speech, each.name, each.channel) for each in analysis.speakers]
        return merge_answers(analysis.speech, lanes, answers, analysis.overlaps)

    def explain(self, analysis: Analysis) -> Explanation:
        """Weigh moments and words of a recording in its answer, and measure the voice; `analysis` is this analyzer's.

        The weight of a moment is how far the log-odds of the most probable emotion fall if it is removed, in two to 24
        pieces of half a second or more (see `explanation`), while the words stay the same. Those are weighed in the
        same way (`models.word_weights`). Raise WeightsUnavailable if the model is not there any more, TooLarge if the
        recording is so long that its samples were not kept.
        """
        self._require_sound(analysis, "An answer is explained")
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

    def _require_sound(self, analysis: Analysis, purpose: str) -> None:
        if not analysis.has_sound:
            most = f"{self.settings.whole_s / 60:.4g} minutes"
            reason = f"since the sound of a longer one is not kept ({variable('stretch_s')})"
            raise TooLarge(f"{purpose} only for recordings of up to {most}, {reason}.")

    @contextmanager
    def _open(
        self, source: Source, sampling_rate: int | None, name: str, report: _Report, track: int | None = None
    ) -> Iterator[Sound]:
        """Decode a recording, or learn how long it is where that is more than is kept in memory."""
        from ser_engine.audio.decode import load_samples
        from ser_engine.audio.sound import Sound, as_sound, open_sound

        settings = self.settings if track is None else replace(self.settings, track=track)
        with ExitStack() as opened:
            with report.stage("decode"):
                if isinstance(source, np.ndarray):
                    sound = as_sound(load_samples(source, sampling_rate, settings, name), settings)
                elif isinstance(source, Sound):
                    sound = source
                elif isinstance(source, Recording):
                    sound = as_sound(source, settings)
                else:
                    sound = opened.enter_context(open_sound(source, settings, name, report.step))
            report.total_s = report.current_s = sound.duration_s
            yield sound

    def _preprocess(
        self,
        recording: Recording,
        baseline: Baseline | None,
        report: _Report,
        speech: tuple[Span, ...] | None = None,
        start_s: float = 0.0,
    ) -> _Preprocessed:
        """Clean a recording, or a stretch of one that begins at `start_s`; its `speech` may have been detected."""
        from ser_engine.audio.clean import clean_speech

        if report.decoded:
            report.decoded(recording, start_s, report.total_s)
        with report.stage("clean"):
            cleaned = replace(clean_speech(recording, self.settings, speech), baseline=baseline)
        return _Preprocessed(recording, cleaned, dict(report.seconds))

    def _analyze_stretches(
        self, sound: Sound, transcribe: bool | None, baseline: Baseline | None, report: _Report
    ) -> Analysis:
        """Analyze a long recording stretch by stretch; only the answers are kept.

        It is decoded twice: what holds for all of it, as where it is cut, has to be known before the first answer.
        """
        from ser_engine.audio.stretches import Stretch, cut_stretches, read_stretches

        with report.stage("clean"):
            stretches = cut_stretches(sound, self.settings.stretch_s, lambda *_: report.step())
        reading = read_stretches(sound, stretches)

        def analyze_next(stretch: Stretch) -> Analysis | NoSpeech:
            trim_memory()
            with report.stage("decode"):
                recording = next(reading)
            report.done_s, report.current_s = stretch.start_s, recording.duration_s
            try:
                pending = self._preprocess(recording, baseline, report, stretch.speech, stretch.start_s)
                (answer,) = self._predict([pending], transcribe, report, pieces=True)
                return answer.without_sound()
            except NoSpeech as error:
                return error
            finally:
                report.done_s, report.current_s = stretch.start_s + recording.duration_s, 0.0

        parts = [(stretch.start_s, analyze_next(stretch)) for stretch in stretches]
        answers = [(start, part) for start, part in parts if not isinstance(part, NoSpeech)]
        if not answers:
            raise max((part for _, part in parts if isinstance(part, NoSpeech)), key=lambda error: error.speech_s)
        report.step()
        whole = Recording(NO_SAMPLES, sound.rate, sound.source, sound.warnings)
        merged = merge_stretches(answers, whole, sound.duration_s)
        return self._warn_of_training(replace(merged, seconds=dict(report.seconds)))

    def _predict(
        self,
        pending: Sequence[_Preprocessed],
        transcribe: bool | None,
        report: _Report | None = None,
        pieces: bool = False,
    ) -> list[Analysis]:
        """Transcribe and classify recordings together; the time of both is divided evenly.

        With `pieces`, only a few windows are classified at a time, between which the report may end the analysis.
        """
        transcribe = self.settings.transcribe if transcribe is None else transcribe
        report = report or _Report()
        lanes = [each.lanes or (Lane(each.speech),) for each in pending]
        speeches = [lane.speech for own in lanes for lane in own]
        with report.stage("transcribe"):
            transcripts: Sequence[Transcript | None] = [None] * len(speeches)
            if transcribe:
                step = partial(report.step, 0.0, TRANSCRIBING)
                transcripts = self.transcriber.transcribe_all(speeches, words=self.settings.words, step=step)
        with report.stage("classify"):
            step = partial(report.step, TRANSCRIBING if transcribe else 0.0, 1.0)
            classified = iter(self._classify(speeches, transcripts, step if pieces else None))
        analyses = []
        for each, own in zip(pending, lanes, strict=True):
            shared = {stage: report.seconds[stage] / len(pending) for stage in ("transcribe", "classify")}
            seconds = each.seconds | shared
            seconds["total"] = sum(seconds.values())
            answers = [self._answer(each.recording, lane.speech, next(classified), seconds) for lane in own]
            analysis = merge_answers(each.speech, own, answers, each.overlaps) if each.lanes else answers[0]
            analyses.append(self._warn_of_training(analysis))
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
        quality = replace(analysis.quality, warnings=(trained_on.WARNING, *analysis.quality.warnings))
        return replace(analysis, quality=quality, speech=replace(analysis.speech, quality=quality))

    def _classify(
        self,
        speeches: Sequence[CleanSpeech],
        transcripts: Sequence[Transcript | None],
        step: Callable[[float], object] | None = None,
    ) -> list[_Classified]:
        """Score a short recording as one utterance, a long one as the mean of its windows weighted by their speech.

        Each window is scored with the words said in it, and each sentence of the transcript by itself. With `step`, a
        few are scored at a time, before which it is called with the share that is done.
        """
        parts = [_cut_windows(*both) for both in zip(speeches, transcripts, strict=True)]
        sentences = [
            cut_sentences(speech, transcript, len(own) == 1, self.settings.min_speech_s)
            for speech, transcript, own in zip(speeches, transcripts, parts, strict=True)
        ]
        flat = [(part, words) for own in parts for _, part, words in own]
        flat += [each for rows in sentences for each in rows.values()]
        predictions: list[Prediction] = []
        size = SCORED_TOGETHER if step else len(flat)
        for first in range(0, len(flat), size):
            if step:
                step(first / len(flat))
            together = flat[first : first + size]
            predictions += self.model.predict([part for part, _ in together], [words for _, words in together])
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
