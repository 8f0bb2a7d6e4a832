"""The hall: the whole way from a recording to an answer, on one screen.

Importing this module is cheap; whatever needs torch is imported where it is first used.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import WeightsUnavailable
from ser_engine.models import trained_on
from ser_engine.settings import Settings
from ser_engine.transcription import alignment as timed
from ser_engine.types import STAGES, Analysis, CleanSpeech, Prediction, Scores, TimelineWindow, Transcript

if TYPE_CHECKING:
    from ser_engine.models.base import Model
    from ser_engine.transcription.transcriber import Transcriber

Progress = Callable[[str, float | None], None]
"""Told (stage, None) when a stage of `STAGES` begins and (stage, seconds) when it has ended."""

# A recording longer than this holds more than one utterance: it gets a timeline of overlapping windows, which are as
# long as the utterances that the models were trained on. A window with less speech than the last figure is left out.
TIMELINE_FROM_S, WINDOW_S, HOP_S, WINDOW_SPEECH_S = 6.0, 3.0, 1.5, 0.5


class Analyzer:
    """Analyses recordings; safe to share between threads, which then share one copy of the models.

    Parameters
    ----------
    settings : what `Settings.from_env()` reads when left out
    on_download : told (bytes done, bytes in all or 0) while weights are fetched, which the settings have to allow
    """

    def __init__(self, settings: Settings | None = None, on_download: Callable[[int, int], None] | None = None) -> None:
        self.settings = settings or Settings.from_env()
        self._on_download = on_download
        self._loading = threading.Lock()
        self._model: Model | None = None
        self._trained_on: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._transcriber: Transcriber | None = None
        self.fetching = ""
        """The model of the hub that is being fetched at this moment, as the settings name it; else empty."""

    def analyze(
        self,
        source: bytes | str | Path,
        *,
        name: str = "",
        transcribe: bool | None = None,
        progress: Progress | None = None,
    ) -> Analysis:
        """Analyse one recording.

        Parameters
        ----------
        source : the bytes of an encoded recording, or its path
        name : what to call it in the answer; a path's own name when left out
        transcribe : whether the words are wanted; the settings decide when left out
        progress : told when each stage begins and ends

        Raises
        ------
        InvalidAudio, TooLarge
            It is no recording that can be decoded, or over a limit.
        NoSpeech
            It holds too little speech, so no emotion is guessed.
        WeightsUnavailable
            A model that the settings name is not there.
        InvalidSettings
            Whisper does not know the language that the settings name.
        """
        from ser_engine.audio import clean as preprocessing
        from ser_engine.audio import decode as audio

        seconds: dict[str, float] = {}
        words = self.settings.transcribe if transcribe is None else transcribe
        begun = time.perf_counter()
        with _stage("decode", seconds, progress):
            waveform = audio.load_audio(source, self.settings, name)
        with _stage("clean", seconds, progress):
            speech = preprocessing.clean_speech(waveform, self.settings)
        with _stage("transcribe", seconds, progress):
            transcript = self.transcriber.transcribe(speech) if words else None
        with _stage("classify", seconds, progress):
            prediction, timeline = self._classify(speech, transcript)
        seconds["total"] = time.perf_counter() - begun
        if trained_on.holds(self._trained_on, source):
            quality = replace(speech.quality, warnings=(trained_on.WARNING, *speech.quality.warnings))
            speech = replace(speech, quality=quality)
        return Analysis(
            waveform.source.name, self.model.id, prediction.scores, transcript, timeline, speech.quality, seconds,
            waveform, speech, prediction.modalities, self.model.threshold,
        )  # fmt: skip

    def rescore(self, analysis: Analysis, words: str) -> Analysis:
        """Return the analysis of the same recording had these words been said in it, all else being as it was.

        A model that reads the words keeps what it heard of the latest recordings, so that the speech is not encoded
        again; one that reads none gives the scores that it gave. `analysis` is this analyzer's own.

        Raises
        ------
        WeightsUnavailable
            The model is not there any more.
        """
        transcript = timed.replace_words(analysis.transcript, words, analysis.speech.segments)
        if not self.model.uses_text:
            return replace(analysis, transcript=transcript)
        prediction, timeline = self._classify(analysis.speech, transcript)
        return replace(
            analysis,
            transcript=transcript,
            scores=prediction.scores,
            timeline=timeline,
            modalities=prediction.modalities,
        )

    def _classify(
        self, speech: CleanSpeech, transcript: Transcript | None
    ) -> tuple[Prediction, tuple[TimelineWindow, ...]]:
        """Score a short recording as one utterance, a long one as the mean of its windows by their speech.

        Each window goes with the words that were said in it.
        """
        spans = windows(speech)
        if len(spans) < 2:
            return self.model.predict([speech], [transcript])[0], ()
        parts = [replace(speech, samples=speech.between(*span)) for span in spans]
        words = [transcript and timed.select_words(transcript, *span) for span in spans]
        predictions = self.model.predict(parts, words)
        timeline = (TimelineWindow(*span, each.scores) for span, each in zip(spans, predictions, strict=True))
        return _mean(predictions, [part.duration_s for part in parts]), tuple(timeline)

    def warm_up(self) -> None:
        """Load every model now and run it once, so that the first analysis waits for nothing."""
        from ser_engine.audio.vad import detect_speech
        from ser_engine.types import SAMPLE_RATE, Quality, Span

        noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE).astype(np.float32)
        detect_speech(noise)
        speech = CleanSpeech(noise, (Span(0.0, 1.0),), Quality(1.0, 1.0, SAMPLE_RATE, 8000.0, None, 0.0, -26.0, False))
        self.model.predict([speech])
        if self.settings.transcribe:
            self.transcriber.transcribe(speech)

    @property
    def model(self) -> Model:
        """The emotion model that the settings name, loaded when first asked for."""
        with self._loading:
            if self._model is None:
                from ser_engine.models.registry import load_model

                _use_threads(self.settings.threads)
                folder = self._folder()
                self._trained_on = trained_on.read(folder)
                self._model = load_model(folder, self.settings)
            return self._model

    def _folder(self) -> Path:
        """Return the emotion model's folder; while the hub's has to be fetched, `fetching` says so."""
        from ser_engine.models.hub_files import PREFIX
        from ser_engine.models.registry import default_model

        if not (self.settings.model.startswith(PREFIX) and self.settings.allow_download):
            return default_model(self.settings)
        try:
            return default_model(self.settings, fetch=False)
        except WeightsUnavailable:  # if for another reason than that it is not here yet, the next line says so again
            self.fetching = self.settings.model.removeprefix(PREFIX)
        try:
            return default_model(self.settings)
        finally:
            self.fetching = ""

    @property
    def transcriber(self) -> Transcriber:
        """Whisper, loaded when first asked for."""
        with self._loading:
            if self._transcriber is None:
                from ser_engine.models.store import shared_whisper
                from ser_engine.transcription.language import resolve_language
                from ser_engine.transcription.transcriber import Transcriber

                _use_threads(self.settings.threads)
                precision = "int8" if self.settings.whisper == "base" else "float16"
                engine = f"whisper-{self.settings.whisper} ({precision} weights)"
                whisper = shared_whisper(self.settings, self._on_download)
                self._transcriber = Transcriber(whisper, engine, resolve_language(whisper, self.settings.language))
            return self._transcriber

    def card(self) -> dict[str, Any] | None:
        """Return the emotion model's measured figures as its folder states them, without loading it; None if none.

        Keys: `id, architecture, labels, corpora` (those that it learned from), `protocol, UA, WA, UA_ci95, ECE,
        per_corpus {corpus: {UA, WA, UA_ci95}}, per_label {label: {recall, precision}}, listeners {corpus: {agreement,
        per_label {label: percent}}}`, in percent; `not_sure` is a `calibration.Threshold`, from 0 to 1.
        """
        from ser_engine.models.registry import default_model
        from ser_engine.models.store import read_config

        config = read_config(default_model(self.settings, fetch=False))
        if "measured" not in config:
            return None
        known = {key: config[key] for key in ("id", "architecture", "labels", "corpora") if key in config}
        return {**known, **config["measured"]}

    def cards(self) -> dict[str, str]:
        """Return the cards of the emotion model and of those that it is made of, by their names.

        A card is the README.md of a folder, here as Markdown without front matter; who has none is not among them.

        Raises
        ------
        WeightsUnavailable
            There is no such model, or one of its parts is missing.
        """
        from ser_engine.models.registry import default_model, parts

        folder = default_model(self.settings, fetch=False)
        texts = {}
        for place in (folder, *parts(folder, self.settings)):
            with suppress(OSError):
                text = (place / "README.md").read_text(encoding="utf-8")
                texts[place.name] = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).strip()
        return texts


def windows(speech: CleanSpeech) -> list[tuple[float, float]]:
    """Return (start, end), in seconds, of a long recording's windows that hold enough speech; none for a short one."""
    duration = speech.quality.duration_s
    if duration <= TIMELINE_FROM_S:
        return []
    starts = np.arange(0.0, duration - WINDOW_S + HOP_S, HOP_S)
    spans = [(float(start), float(min(start + WINDOW_S, duration))) for start in starts]
    return [
        (start, end)
        for start, end in spans
        if sum(max(0.0, min(end, s.end) - max(start, s.start)) for s in speech.segments) >= WINDOW_SPEECH_S
    ]


def _mean(predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
    """Return the weighted mean; the mean of a modality is over the predictions that have it."""

    def mean(rows: Sequence[tuple[Scores, float]]) -> Scores:
        scores, weights = zip(*rows, strict=True)
        probabilities = np.average([score.probabilities for score in scores], axis=0, weights=weights)
        return Scores(scores[0].labels, probabilities.astype(np.float32))

    modalities: dict[str, list[tuple[Scores, float]]] = {}
    for name in ("audio", "text", "fused"):
        for prediction, weight in zip(predictions, weights, strict=True):
            if name in prediction.modalities:
                modalities.setdefault(name, []).append((prediction.modalities[name], weight))
    return Prediction(
        mean([(prediction.scores, weight) for prediction, weight in zip(predictions, weights, strict=True)]),
        {name: mean(rows) for name, rows in modalities.items()},
    )


@contextmanager
def _stage(stage: str, seconds: dict[str, float], progress: Progress | None) -> Iterator[None]:
    """Time one stage and tell who waits for it."""
    assert stage in STAGES
    if progress:
        progress(stage, None)
    begun = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begun
    if progress:
        progress(stage, seconds[stage])


def _use_threads(threads: int) -> None:
    """Set up torch: how many threads, and no denormal numbers, which slow it down severalfold."""
    import torch

    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
