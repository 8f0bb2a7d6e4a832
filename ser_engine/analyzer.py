"""The path of a recording: decode, detect speech and clean, transcribe, classify.

Importing this module is cheap; torch and whatever needs it are imported when they are first used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech, SerError, TooLarge
from ser_engine.models import trained_on
from ser_engine.models.base import Model
from ser_engine.models.cards import read_cards, read_figures, read_languages
from ser_engine.models.registry import find_model, load_model
from ser_engine.sentences import cut_sentences, score_sentences
from ser_engine.settings import Settings
from ser_engine.transcription.alignment import replace_words, select_words
from ser_engine.transcription.transcriber import Transcriber, compile_alignment, load_transcriber
from ser_engine.types import (
    SAMPLE_RATE,
    WINDOW_S,
    Analysis,
    Baseline,
    CleanSpeech,
    Explanation,
    ModelLanguages,
    Prediction,
    Quality,
    Recording,
    Scores,
    Span,
    TimelineWindow,
    Transcript,
)

Progress = Callable[[str, float | None], None]
"""Called with (stage, None) when a stage of `types.STAGES` begins and with (stage, seconds) when it ends."""

Source = bytes | str | Path | Recording | NDArray[Any]
"""The bytes of an encoded recording, its path, a decoded recording, or samples [n] or [channels, n]."""

_Preprocessed = tuple[Recording, CleanSpeech, dict[str, float]]  # and the seconds of each stage so far
_Part = tuple[Span, CleanSpeech, Transcript | None]  # of a recording: its speech, and the words said in it

# A recording longer than this gets a timeline of overlapping windows, which are as long as the utterances that the
# models were trained on. A window with less speech than the last figure is left out.
TIMELINE_FROM_S, HOP_S, WINDOW_SPEECH_S = 6.0, 1.5, 0.5
# Seconds of calm speech: a baseline of less gains too little (docs/accuracy.md); what exceeds the second figure is left
# out, since it would change little and is encoded in one piece.
MIN_BASELINE_S, MAX_BASELINE_S = 15.0, 120.0


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
        self._languages: ModelLanguages | None = None
        self._transcriber: Transcriber | None = None

    def analyze(
        self,
        source: Source,
        sampling_rate: int | None = None,
        *,
        name: str = "",
        transcribe: bool | None = None,
        language: str | None = None,
        baseline: Baseline | None = None,
        progress: Progress | None = None,
    ) -> Analysis:
        """Analyze one recording.

        Parameters
        ----------
        source : bytes of an encoded recording, its path, or samples [n] or [channels, n], floats in -1..1 or integers
        sampling_rate : of samples, in Hz
        name : of the recording in the answer; a path's file name by default
        transcribe : whether to transcribe the words; `settings.transcribe` by default
        language : code of the language of all speech, empty to detect it; `settings.language` by default
        baseline : of the speaker, from `calibrate`
        progress : called when each stage begins and ends

        Raises
        ------
        InvalidAudio, TooLarge
            The recording cannot be decoded, or exceeds a limit.
        NoSpeech
            It contains too little speech.
        WeightsUnavailable
            A model that the settings name is missing.
        InvalidSettings
            Whisper does not know the language, or another model made the baseline.
        """
        begun = time.perf_counter()
        self.check_baseline(baseline)
        preprocessed = self._preprocess(source, sampling_rate, name, baseline, progress)
        (analysis,) = self._predict([preprocessed], transcribe, language, progress)
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
        """Analyze recordings together, which is faster than one by one; all are held in memory.

        Parameters and errors are as of `analyze`, but an error of one recording (InvalidAudio, TooLarge, NoSpeech) is
        returned in its place. The time of a stage that is shared is divided evenly. With a baseline, all recordings are
        of its speaker.
        """
        self.check_baseline(baseline)
        results: list[_Preprocessed | SerError] = []
        for source, name in zip(sources, names or [""] * len(sources), strict=True):
            try:
                results.append(self._preprocess(source, sampling_rate, name, baseline))
            except (InvalidAudio, TooLarge, NoSpeech) as error:
                results.append(error)
        pending = [result for result in results if not isinstance(result, SerError)]
        analyses = iter(self._predict(pending, transcribe) if pending else ())
        return [result if isinstance(result, SerError) else next(analyses) for result in results]

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
        _, speech, _ = self._preprocess(source, sampling_rate, name)
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
        again. `analysis` comes from this analyzer. Raise WeightsUnavailable if the model is not there any more.
        """
        transcript = replace_words(analysis.transcript, words, analysis.speech.segments)
        if not self.model.uses_text:
            return replace(analysis, transcript=transcript)
        ((prediction, timeline, scored),) = self._classify([analysis.speech], [transcript])
        return replace(analysis, transcript=scored, timeline=timeline, **vars(prediction))

    def explain(self, analysis: Analysis) -> Explanation:
        """Weigh moments and words of a recording in its answer, and measure the voice; `analysis` is this analyzer's.

        The weight of a moment is how far the log-odds of the most probable emotion fall if it is removed, in two to 24
        pieces of half a second or more (see `explanation`), while the words stay the same. Those are weighed in the
        same way (`models.word_weights`). Raise WeightsUnavailable if the model is not there any more.
        """
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
            _mean([fresh.get((row, start)) or known[start] for start in own], list(own.values())).scores
            for row, own in enumerate(weights)
        ]

    def _preprocess(
        self,
        source: Source,
        sampling_rate: int | None,
        name: str,
        baseline: Baseline | None = None,
        progress: Progress | None = None,
    ) -> _Preprocessed:
        from ser_engine.audio.clean import clean_speech
        from ser_engine.audio.decode import load_audio, load_samples

        seconds: dict[str, float] = {}
        with _stage("decode", seconds, progress):
            if isinstance(source, np.ndarray):
                recording = load_samples(source, sampling_rate, self.settings, name)
            elif isinstance(source, Recording):
                recording = source
            else:
                recording = load_audio(source, self.settings, name)
        with _stage("clean", seconds, progress):
            return recording, replace(clean_speech(recording, self.settings), baseline=baseline), seconds

    def _predict(
        self,
        pending: Sequence[_Preprocessed],
        transcribe: bool | None,
        language: str | None = None,
        progress: Progress | None = None,
    ) -> list[Analysis]:
        """Transcribe and classify recordings together; the time of both is divided evenly."""
        transcribe = self.settings.transcribe if transcribe is None else transcribe
        shared: dict[str, float] = {}
        speeches = [speech for _, speech, _ in pending]
        with _stage("transcribe", shared, progress):
            transcripts: Sequence[Transcript | None] = [None] * len(speeches)
            if transcribe:
                transcripts = self.transcriber.transcribe_all(speeches, words=self.settings.words, language=language)
        with _stage("classify", shared, progress):
            classified = self._classify(speeches, transcripts)
        analyses = []
        for (recording, speech, seconds), (prediction, timeline, transcript) in zip(pending, classified, strict=True):
            seconds = seconds | {stage: duration / len(pending) for stage, duration in shared.items()}
            seconds["total"] = sum(seconds.values())
            if trained_on.contains(self._trained_on, recording.source.sha256):
                quality = replace(speech.quality, warnings=(trained_on.WARNING, *speech.quality.warnings))
                speech = replace(speech, quality=quality)
            analyses.append(
                Analysis(
                    recording.source.name, self.model.id, prediction.scores, transcript, timeline, speech.quality,
                    seconds, recording, speech, prediction.modalities, self.model.threshold, self._languages,
                )
            )  # fmt: skip
        return analyses

    def _classify(
        self, speeches: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None]
    ) -> list[tuple[Prediction, tuple[TimelineWindow, ...], Transcript | None]]:
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
        classified: list[tuple[Prediction, tuple[TimelineWindow, ...], Transcript | None]] = []
        for own, rows, transcript in zip(parts, sentences, transcripts, strict=True):
            scored = [next(windows) for _ in own]
            timeline = tuple(
                TimelineWindow(span.start, span.end, each.scores, each.scores.reach(self.model.threshold))
                for (span, *_), each in zip(own, scored, strict=True)
            )
            prediction = _mean(scored, [speech.duration_s for _, speech, _ in own]) if len(own) > 1 else scored[0]
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
                self._languages = read_languages(folder, self.settings)
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


def _mean(predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
    """Return the weighted mean; the mean of a modality is over the predictions that have it."""

    def mean(scores: Sequence[Scores | None]) -> Scores:
        pairs = [(each, weight) for each, weight in zip(scores, weights, strict=True) if each is not None]
        kept, shares = zip(*pairs, strict=True)
        probabilities = np.average([each.probabilities for each in kept], axis=0, weights=shares)
        return Scores(kept[0].labels, probabilities.astype(np.float32))

    names = [name for name in ("audio", "text", "fused") if any(name in each.modalities for each in predictions)]
    modalities = {name: mean([each.modalities.get(name) for each in predictions]) for name in names}
    return Prediction(mean([each.scores for each in predictions]), modalities)


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
