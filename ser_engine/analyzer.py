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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import InvalidAudio, NoSpeech, SerError, TooLarge
from ser_engine.models import trained_on
from ser_engine.settings import Settings
from ser_engine.transcription.alignment import replace_words, select_words
from ser_engine.types import (
    STAGES,
    Analysis,
    CleanSpeech,
    Prediction,
    Quality,
    Recording,
    Scores,
    Span,
    TimelineWindow,
    Transcript,
)

if TYPE_CHECKING:
    from ser_engine.models.base import Model
    from ser_engine.transcription.transcriber import Transcriber

Progress = Callable[[str, float | None], None]
"""Called with (stage, None) when a stage of `STAGES` begins and with (stage, seconds) when it ends."""

Source = bytes | str | Path | Recording | NDArray[Any]
"""The bytes of an encoded recording, its path, a decoded recording, or samples [n] or [channels, n]."""

# A recording longer than this gets a timeline of overlapping windows, which are as long as the utterances that the
# models were trained on. A window with less speech than the last figure is left out.
TIMELINE_FROM_S, WINDOW_S, HOP_S, WINDOW_SPEECH_S = 6.0, 3.0, 1.5, 0.5


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
        progress: Progress | None = None,
    ) -> Analysis:
        """Analyze one recording.

        Parameters
        ----------
        source : bytes of an encoded recording, its path, or samples [n] or [channels, n], floats in -1..1 or integers
        sampling_rate : of samples, in Hz
        name : of the recording in the answer; a path's file name by default
        transcribe : whether to transcribe the words; `settings.transcribe` by default
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
            Whisper does not know the language that the settings name.
        """
        transcribe = self.settings.transcribe if transcribe is None else transcribe
        seconds: dict[str, float] = {}
        begun = time.perf_counter()
        recording, speech = self._preprocess(source, sampling_rate, name, seconds, progress)
        with _stage("transcribe", seconds, progress):
            transcript = self.transcriber.transcribe(speech) if transcribe else None
        with _stage("classify", seconds, progress):
            ((prediction, timeline),) = self._classify([speech], [transcript])
        seconds["total"] = time.perf_counter() - begun
        return self._analysis(recording, speech, transcript, prediction, timeline, seconds)

    def analyze_batch(
        self,
        sources: Sequence[Source],
        sampling_rate: int | None = None,
        *,
        names: Sequence[str] | None = None,
        transcribe: bool | None = None,
    ) -> list[Analysis | SerError]:
        """Analyze recordings together, which is faster than one by one; all are held in memory.

        Parameters and errors are as of `analyze`, but an error of one recording (InvalidAudio, TooLarge, NoSpeech) is
        returned in its place. The time of a stage that is shared is divided evenly.
        """
        transcribe = self.settings.transcribe if transcribe is None else transcribe
        results: list[Analysis | SerError] = []
        pending: list[tuple[int, Recording, CleanSpeech, dict[str, float]]] = []
        for row, (source, name) in enumerate(zip(sources, names or [""] * len(sources), strict=True)):
            seconds: dict[str, float] = {}
            try:
                pending.append((row, *self._preprocess(source, sampling_rate, name, seconds, None), seconds))
                results.append(NoSpeech(""))  # until it is analyzed
            except (InvalidAudio, TooLarge, NoSpeech) as error:
                results.append(error)
        if not pending:
            return results
        shared: dict[str, float] = {}
        speeches = [speech for _, _, speech, _ in pending]
        with _stage("transcribe", shared, None):
            transcripts = self.transcriber.transcribe_all(speeches) if transcribe else [None] * len(speeches)
        with _stage("classify", shared, None):
            classified = self._classify(speeches, transcripts)
        for (row, recording, speech, seconds), transcript, (prediction, timeline) in zip(
            pending, transcripts, classified, strict=True
        ):
            seconds |= {stage: duration / len(pending) for stage, duration in shared.items()}
            seconds["total"] = sum(seconds.values())
            results[row] = self._analysis(recording, speech, transcript, prediction, timeline, seconds)
        return results

    def rescore(self, analysis: Analysis, words: str) -> Analysis:
        """Return the analysis of the same recording with these words instead, all else unchanged.

        A model that uses text caches what it computes from the latest recordings, so that the speech is not encoded
        again. `analysis` comes from this analyzer.

        Raises
        ------
        WeightsUnavailable
            The model is not available any more.
        """
        transcript = replace_words(analysis.transcript, words, analysis.speech.segments)
        if not self.model.uses_text:
            return replace(analysis, transcript=transcript)
        ((prediction, timeline),) = self._classify([analysis.speech], [transcript])
        modalities = prediction.modalities
        return replace(
            analysis, transcript=transcript, scores=prediction.scores, timeline=timeline, modalities=modalities
        )

    def _preprocess(
        self,
        source: Source,
        sampling_rate: int | None,
        name: str,
        seconds: dict[str, float],
        progress: Progress | None,
    ) -> tuple[Recording, CleanSpeech]:
        from ser_engine.audio.clean import clean_speech
        from ser_engine.audio.decode import load_audio, load_samples

        with _stage("decode", seconds, progress):
            if isinstance(source, np.ndarray):
                recording = load_samples(source, sampling_rate, self.settings, name)
            elif isinstance(source, Recording):
                recording = source
            else:
                recording = load_audio(source, self.settings, name)
        with _stage("clean", seconds, progress):
            return recording, clean_speech(recording, self.settings)

    def _classify(
        self, speeches: Sequence[CleanSpeech], transcripts: Sequence[Transcript | None]
    ) -> list[tuple[Prediction, tuple[TimelineWindow, ...]]]:
        """Score a short recording as one utterance, a long one as the mean of its windows weighted by their speech.

        Each window is scored with the words said in it.
        """
        windows = [cut_windows(speech) for speech in speeches]
        parts = [_cut(*recording) for recording in zip(speeches, transcripts, windows, strict=True)]
        flat = [part for own in parts for part in own]
        predictions = iter(self.model.predict([speech for speech, _ in flat], [words for _, words in flat]))
        classified: list[tuple[Prediction, tuple[TimelineWindow, ...]]] = []
        for own, spans in zip(parts, windows, strict=True):
            scored = [next(predictions) for _ in own]
            pairs = zip(spans, scored, strict=True) if len(own) > 1 else ()
            timeline = tuple(TimelineWindow(span.start, span.end, prediction.scores) for span, prediction in pairs)
            weights = [speech.duration_s for speech, _ in own]
            classified.append((_mean(scored, weights) if timeline else scored[0], timeline))
        return classified

    def _analysis(
        self,
        recording: Recording,
        speech: CleanSpeech,
        transcript: Transcript | None,
        prediction: Prediction,
        timeline: tuple[TimelineWindow, ...],
        seconds: dict[str, float],
    ) -> Analysis:
        if trained_on.contains(self._trained_on, recording.source.sha256):
            quality = replace(speech.quality, warnings=(trained_on.WARNING, *speech.quality.warnings))
            speech = replace(speech, quality=quality)
        return Analysis(
            recording.source.name, self.model.id, prediction.scores, transcript, timeline, speech.quality, seconds,
            recording, speech, prediction.modalities, self.model.threshold,
        )  # fmt: skip

    def warm_up(self) -> None:
        """Load every model and run it once, so that the first analysis does not wait for it."""
        from ser_engine.audio.vad import detect_speech
        from ser_engine.types import SAMPLE_RATE

        noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE).astype(np.float32)
        detect_speech(noise)
        speech = CleanSpeech(noise, (Span(0.0, 1.0),), Quality(1.0, 1.0, SAMPLE_RATE, 8000.0, None, 0.0, -26.0, False))
        self.model.predict([speech])
        if self.settings.transcribe:
            self.transcriber.transcribe(speech)

    @property
    def model(self) -> Model:
        """The emotion model that the settings name, loaded at first use."""
        with self._loading:
            if self._model is None:
                from ser_engine.models.registry import find_model, load_model

                folder = find_model(self.settings)
                self._trained_on = trained_on.read_digests(folder)
                self._model = load_model(folder, self.settings)
            return self._model

    @property
    def transcriber(self) -> Transcriber:
        """Whisper, loaded at first use."""
        with self._loading:
            if self._transcriber is None:
                from ser_engine.transcription.transcriber import load_transcriber

                self._transcriber = load_transcriber(self.settings, self._on_download)
            return self._transcriber

    def card(self) -> dict[str, Any] | None:
        """Return the emotion model's measured figures without loading it: see `models.cards.read_figures`."""
        from ser_engine.models.cards import read_figures

        return read_figures(self.settings)

    def cards(self) -> dict[str, str]:
        """Return the cards of the emotion model and its parts, by their names: see `models.cards.read_cards`."""
        from ser_engine.models.cards import read_cards

        return read_cards(self.settings)


def cut_windows(speech: CleanSpeech) -> list[Span]:
    """Return the windows of a long recording that contain enough speech; none for a short one."""
    duration = speech.quality.duration_s
    if duration <= TIMELINE_FROM_S:
        return []
    starts = np.arange(0.0, duration - WINDOW_S + HOP_S, HOP_S)
    windows = [Span(float(start), float(min(start + WINDOW_S, duration))) for start in starts]
    return [
        window
        for window in windows
        if sum(max(0.0, min(window.end, s.end) - max(window.start, s.start)) for s in speech.segments)
        >= WINDOW_SPEECH_S
    ]


def _cut(
    speech: CleanSpeech, transcript: Transcript | None, windows: Sequence[Span]
) -> list[tuple[CleanSpeech, Transcript | None]]:
    """Return the speech of each window with the words said in it; the whole where there are fewer than two."""
    if len(windows) < 2:
        return [(speech, transcript)]
    return [
        (
            replace(speech, samples=speech.between(window.start, window.end)),
            transcript and select_words(transcript, window.start, window.end),
        )
        for window in windows
    ]


def _mean(predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
    """Return the weighted mean; the mean of a modality is over the predictions that have it."""

    def mean(pairs: Sequence[tuple[Scores, float]]) -> Scores:
        scores, weights = zip(*pairs, strict=True)
        probabilities = np.average([each.probabilities for each in scores], axis=0, weights=weights)
        return Scores(scores[0].labels, probabilities.astype(np.float32))

    weighted = list(zip(predictions, weights, strict=True))
    modalities: dict[str, list[tuple[Scores, float]]] = {}
    for name in ("audio", "text", "fused"):
        for prediction, weight in weighted:
            if name in prediction.modalities:
                modalities.setdefault(name, []).append((prediction.modalities[name], weight))
    return Prediction(
        mean([(prediction.scores, weight) for prediction, weight in weighted]),
        {name: mean(pairs) for name, pairs in modalities.items()},
    )


@contextmanager
def _stage(stage: str, seconds: dict[str, float], progress: Progress | None) -> Iterator[None]:
    """Time one stage and report its begin and end."""
    assert stage in STAGES
    if progress:
        progress(stage, None)
    begun = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begun
    if progress:
        progress(stage, seconds[stage])
