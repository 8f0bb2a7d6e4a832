"""The path of a recording: decode, detect speech and clean, transcribe, classify.

Importing this module is cheap; whatever takes long to load is imported when it is first used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union

import numpy as np
from numpy.typing import NDArray

from ser_engine.blas import one_blas_thread
from ser_engine.classification import Classified, classify, classify_without
from ser_engine.errors import InvalidAudio, InvalidSettings, NoSpeech, SerError, TooLarge
from ser_engine.memory import limit_primitives, trim_memory
from ser_engine.merging import merge_stretches
from ser_engine.models import trained_on
from ser_engine.models.base import Model
from ser_engine.models.cards import read_cards, read_figures, read_languages
from ser_engine.models.registry import find_model, load_answering_model
from ser_engine.progress import Advance, OnDecoded, Progress, Report
from ser_engine.sentences import edit_words
from ser_engine.settings import Settings, variable
from ser_engine.speakers.lanes import Lane, merge_answers
from ser_engine.transcription.language import main_language
from ser_engine.transcription.transcriber import Transcriber, load_transcriber
from ser_engine.types import (
    NO_SAMPLES,
    SAMPLE_RATE,
    Analysis,
    Baseline,
    CleanSpeech,
    Explanation,
    ModelLanguages,
    Quality,
    Recording,
    Span,
    Speaker,
    Transcript,
    TranscriptSegment,
)

if TYPE_CHECKING:
    from ser_engine.audio.sound import Sound
    from ser_engine.speakers.separation import Preprocessed

Source = Union[bytes, str, Path, BinaryIO, Recording, "Sound", NDArray[Any]]
"""The bytes of an encoded recording, its path, the open file, its sound, or samples [n] or [channels, n]."""

_Pending = tuple["Preprocessed", dict[str, float]]  # and the seconds of each stage so far

# Seconds of calm speech: a baseline of less gains too little (docs/accuracy.md); what exceeds the second figure is left
# out, since it would change little and is encoded in one piece.
MIN_BASELINE_S, MAX_BASELINE_S = 15.0, 120.0
# The share of the work on a stretch that its transcription is, for the progress; the rest is mostly its classification.
TRANSCRIBING = 0.7


class Analyzer:
    """Analyzes recordings; safe to share between threads, which then share one copy of the models.

    Parameters
    ----------
    settings : `Settings.from_env()` by default
    on_download : called with (bytes done, bytes in all or 0) while weights are downloaded, Whisper's or those of
        a model of the Hugging Face hub, where the settings permit that
    """

    def __init__(self, settings: Settings | None = None, on_download: Callable[[int, int], None] | None = None) -> None:
        limit_primitives()
        self.settings = settings or Settings.from_env()
        self._on_download = on_download
        self._loading = threading.Lock()
        self._model: Model | None = None
        self._trained_on: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._languages: ModelLanguages | None = None
        self._transcriber: Transcriber | None = None

    @one_blas_thread
    def analyze(
        self,
        source: Source,
        sampling_rate: int | None = None,
        *,
        name: str = "",
        transcribe: bool | None = None,
        language: str | None = None,
        baseline: Baseline | None = None,
        track: int | None = None,
        channels: str | int | None = None,
        channel_names: str | None = None,
        speakers: str | int | None = None,
        words: bool | None = None,
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
        language : code of the language of all speech, empty to detect it; `settings.language` by default
        baseline : of the speaker, from `calibrate`; not used where there are several speakers
        track : audio track of a file, from 1, or 0 to choose it as `settings.track` says; that setting by default
        channels, channel_names, speakers, words : as the settings of these names, which are the default; numbers may be
            integers
        progress, advance, decoded : called as the analysis goes on; an exception that one of them raises ends it

        Raises
        ------
        InvalidAudio, TooLarge
            The recording cannot be decoded, exceeds a limit, or does not have the channels that are asked for.
        NoSpeech
            It contains too little speech.
        WeightsUnavailable
            A model that the settings name is missing.
        InvalidSettings
            Whisper does not know the language, another model made the baseline, or an option is none of those that its
            setting may be.
        """
        begun = time.perf_counter()
        self.check_baseline(baseline)
        settings = self._override(
            transcribe=transcribe, language=language, track=track, channels=channels, channel_names=channel_names,
            speakers=speakers, words=words,
        )  # fmt: skip
        report = Report(progress, advance, decoded)
        with self._open(source, sampling_rate, name, report, settings) as sound:
            if sound.recording is None:
                analysis = self._analyze_stretches(sound, baseline, report, settings)
            else:
                pending = self._preprocess(sound.recording, baseline, report, settings)
                (analysis,) = self._predict([pending], settings, report)
        return replace(analysis, seconds={**analysis.seconds, "total": time.perf_counter() - begun})

    @one_blas_thread
    def analyze_batch(
        self,
        sources: Sequence[Source],
        sampling_rate: int | None = None,
        *,
        names: Sequence[str] | None = None,
        transcribe: bool | None = None,
        language: str | None = None,
        baseline: Baseline | None = None,
        track: int | None = None,
        channels: str | int | None = None,
        channel_names: str | None = None,
        speakers: str | int | None = None,
        words: bool | None = None,
    ) -> list[Analysis | SerError]:
        """Analyze recordings together, which is faster than one by one.

        They are held in memory, apart from long ones, which are analyzed one by one. Parameters and errors are as of
        `analyze`, but an error of one recording (InvalidAudio, TooLarge, NoSpeech) is returned in its place. The time
        of a stage that is shared is divided evenly. With a baseline, all recordings are of its speaker.
        """
        self.check_baseline(baseline)
        settings = self._override(
            transcribe=transcribe, language=language, track=track, channels=channels, channel_names=channel_names,
            speakers=speakers, words=words,
        )  # fmt: skip
        results: list[Analysis | SerError | None] = []
        pending: list[_Pending] = []
        for source, name in zip(sources, names or [""] * len(sources), strict=True):
            report = Report()
            try:
                with self._open(source, sampling_rate, name, report, settings) as sound:
                    if sound.recording is None:
                        results.append(self._analyze_stretches(sound, baseline, report, settings))
                    else:
                        pending.append(self._preprocess(sound.recording, baseline, report, settings))
                        results.append(None)
            except (InvalidAudio, TooLarge, NoSpeech) as error:
                results.append(error)
        analyses = iter(self._predict(pending, settings) if pending else ())
        return [next(analyses) if result is None else result for result in results]

    @one_blas_thread
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
        report = Report()
        settings = self._override(channels=channels)
        with self._open(source, sampling_rate, name, report, settings) as sound:
            # Of a long recording, its beginning has more than enough speech.
            recording = sound.recording or sound.beginning(settings.whole_s)
        preprocessed, _ = self._preprocess(recording, None, report, settings)
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

    @one_blas_thread
    def rescore(self, analysis: Analysis, words: str, source: bytes | str | Path | BinaryIO | None = None) -> Analysis:
        """Return the analysis of the same recording with these words instead, all else unchanged.

        A model that uses text caches what it computes from the latest recordings, so that the speech is not encoded
        again. `analysis` comes from this analyzer; of several speakers, lines of the words begin with the name of one,
        as in the transcript's text. Of a recording so long that its samples were not kept, `source` is the recording
        again: the sentences with other words are scored, and the scores of all else stay.

        Raises
        ------
        WeightsUnavailable
            The model is not there any more.
        TooLarge
            The recording is so long that its samples were not kept, and there is no source.
        InvalidAudio
            The source is another recording, or cannot be read.
        """
        edited = edit_words(analysis, words)
        if not self.model.uses_text:
            return edited
        if source is not None and not analysis.has_sound and analysis.transcript is not None:
            return self._rescore_sentences(analysis, edited, source)
        self._require_sound(analysis, "Edited words are scored again")
        own = [each.answer for each in edited.speakers] or [edited]
        classified = classify(
            self.model, self.settings, [answer.speech for answer in own], [answer.transcript for answer in own]
        )
        answers = [
            replace(answer, transcript=scored, timeline=timeline, **vars(prediction))
            for answer, (prediction, timeline, scored) in zip(own, classified, strict=True)
        ]
        if not analysis.speakers:
            return answers[0]
        speakers = [replace(each, answer=answer) for each, answer in zip(analysis.speakers, answers, strict=True)]
        merged = merge_answers(analysis.recording, analysis.speech, speakers, analysis.overlaps)
        return replace(merged, channels=analysis.channels)

    def _rescore_sentences(
        self, analysis: Analysis, edited: Analysis, source: bytes | str | Path | BinaryIO
    ) -> Analysis:
        from ser_engine.rescoring import rescore_sentences

        info = analysis.recording.source
        settings = self._override(track=info.track)
        with self._open(source, None, info.name, Report(), settings) as sound:
            if sound.source.sha256 != info.sha256:
                raise InvalidAudio(f"This is another recording than “{info.name}”, so it cannot be scored again.")
            return rescore_sentences(self.model, settings, sound, analysis, edited, self.model.threshold)

    @one_blas_thread
    def explain(self, analysis: Analysis) -> Explanation:
        """Weigh moments and words of a recording in its answer, and measure the voice; `analysis` is this analyzer's.

        The weight of a moment is how far the log-odds of the most probable emotion fall if it is removed, in two to 24
        pieces of half a second or more (see `explanation`), while the words stay the same. Those are weighed in the
        same way (`models.word_weights`). Of several speakers, explain the answer of each: `speaker.answer`. Raise
        WeightsUnavailable if the model is not there any more, TooLarge if the recording is so long that its samples
        were not kept, and ValueError for several speakers together.
        """
        if analysis.speakers:
            raise ValueError("The recording has several speakers: explain the answer of each (`speaker.answer`).")
        self._require_sound(analysis, "An answer is explained")
        from ser_engine.explanation import cut_pieces, weigh
        from ser_engine.features.voice import measure_voice

        pieces = cut_pieces(analysis.speech)
        moments = weigh(analysis, pieces, classify_without(self.model, analysis, pieces))
        label, transcript = analysis.scores.top, analysis.transcript
        words = self.model.weigh_words(transcript, label) if transcript else ("", ())
        return Explanation(label, moments, measure_voice(analysis.speech.samples), *words)

    def _require_sound(self, analysis: Analysis, purpose: str) -> None:
        if not analysis.has_sound:
            most = f"{self.settings.whole_s / 60:.4g} minutes"
            reason = f"since the sound of a longer one is not kept ({variable('stretch_s')})"
            raise TooLarge(f"{purpose} only for recordings of up to {most}, {reason}.")

    def _override(self, **options: Any) -> Settings:
        """Return the settings with the options of a call that are not None."""
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        for name in {"channels", "speakers"} & given.keys():
            given[name] = str(given[name])
        return replace(self.settings, **given)

    @contextmanager
    def _open(
        self, source: Source, sampling_rate: int | None, name: str, report: Report, settings: Settings
    ) -> Iterator[Sound]:
        """Decode a recording, or learn how long it is where that is more than is kept in memory."""
        with ExitStack() as opened:
            with report.stage("decode"):
                from ser_engine.audio.decode import load_samples
                from ser_engine.audio.sound import Sound, as_sound, open_sound

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
        self, recording: Recording, baseline: Baseline | None, report: Report, settings: Settings
    ) -> _Pending:
        if report.decoded:
            report.decoded(recording, 0.0, report.total_s)
        with report.stage("clean"):
            from ser_engine.speakers.separation import preprocess  # here, since loading it takes a second

            preprocessed = preprocess(recording, settings, baseline)
        return preprocessed, dict(report.seconds)

    def _analyze_stretches(
        self, sound: Sound, baseline: Baseline | None, report: Report, settings: Settings
    ) -> Analysis:
        """Analyze a long recording stretch by stretch; only the answers are kept.

        It is decoded twice: what holds for all of it, such as where it is cut and who speaks when, has to be known
        before the first answer.
        """
        from ser_engine.audio.stretches import Stretch, read_stretches
        from ser_engine.speakers.separation import plan_stretches, preprocess_stretch

        with report.stage("clean"):
            plan = plan_stretches(sound, settings, baseline, report.step)
        reading = read_stretches(sound, plan.stretches, apart=plan.apart)
        sentences: list[TranscriptSegment] = []

        def analyze_next(stretch: Stretch) -> Analysis | NoSpeech:
            trim_memory()
            with report.stage("decode"):
                recording = next(reading)
            seconds = recording.duration_s
            report.done_s, report.current_s = stretch.start_s, seconds
            if report.decoded:
                report.decoded(recording, stretch.start_s, report.total_s)
            try:
                with report.stage("clean"):
                    preprocessed = preprocess_stretch(recording, stretch, plan, settings)
                del recording
                pending = preprocessed, dict(report.seconds)
                (answer,) = self._predict([pending], settings, report, main_language(sentences), pieces=True)
            except NoSpeech as error:
                return error
            finally:
                report.done_s, report.current_s = stretch.start_s + seconds, 0.0
            sentences.extend(answer.transcript.segments if answer.transcript else ())
            return answer.without_sound()

        parts = [(stretch.start_s, analyze_next(stretch)) for stretch in plan.stretches]
        answers = [(start, part) for start, part in parts if not isinstance(part, NoSpeech)]
        if not answers:
            raise max((part for _, part in parts if isinstance(part, NoSpeech)), key=lambda error: error.speech_s)
        report.step()
        whole = Recording(NO_SAMPLES, sound.rate, sound.source, (*sound.warnings, *plan.notes))
        merged = merge_stretches(answers, whole, sound.duration_s)
        return self._warn_of_training(replace(merged, seconds=dict(report.seconds), channels=plan.channels))

    def _predict(
        self,
        pending: Sequence[_Pending],
        settings: Settings,
        report: Report | None = None,
        main: str | None = None,
        pieces: bool = False,
    ) -> list[Analysis]:
        """Transcribe and classify recordings together; the time of both is divided evenly.

        `main` is the language of speech whose own is doubtful, where it is known. With `pieces`, only a few windows are
        classified at a time, between which memory is given back and the report may end the analysis.
        """
        report = report or Report()

        def step(begin: float, end: float, share: float) -> None:
            if pieces:
                trim_memory()
            report.step(begin, end, share)

        lanes = [each.lanes or (Lane(each.speech),) for each, _ in pending]
        speeches = [lane.speech for own in lanes for lane in own]
        with report.stage("transcribe"):
            transcripts: Sequence[Transcript | None] = [None] * len(speeches)
            if settings.transcribe:
                spoken = [lane.words or lane.speech for own in lanes for lane in own]
                transcripts = self.transcriber.transcribe_all(
                    spoken,
                    words=settings.words,
                    language=settings.language,
                    main=main,
                    step=partial(step, 0.0, TRANSCRIBING),
                )
        with report.stage("classify"):
            rest = partial(step, TRANSCRIBING if settings.transcribe else 0.0, 1.0)
            classified = iter(classify(self.model, settings, speeches, transcripts, rest if pieces else None))
        analyses = []
        for (each, seconds), own in zip(pending, lanes, strict=True):
            shared = {stage: report.seconds[stage] / len(pending) for stage in ("transcribe", "classify")}
            seconds = seconds | shared
            seconds["total"] = sum(seconds.values())
            answers = [
                self._answer(lane.recording or each.recording, lane.speech, next(classified), seconds) for lane in own
            ]
            analysis = answers[0]
            if each.lanes:
                speakers = [
                    Speaker(lane.name, lane.channel, 0.0, answer) for lane, answer in zip(own, answers, strict=True)
                ]
                analysis = merge_answers(each.recording, each.speech, speakers, each.overlaps)
            analyses.append(self._warn_of_training(replace(analysis, channels=each.channels)))
        return analyses

    def _answer(
        self, recording: Recording, speech: CleanSpeech, classified: Classified, seconds: Mapping[str, float]
    ) -> Analysis:
        prediction, timeline, transcript = classified
        return Analysis(
            recording.source.name, self.model.id, prediction.scores, transcript, timeline, speech.quality, seconds,
            recording, speech, prediction.modalities, self.model.threshold, self._languages,
        )  # fmt: skip

    def _warn_of_training(self, analysis: Analysis) -> Analysis:
        """Add a warning if the emotion model was trained on the very recording."""
        if not trained_on.contains(self._trained_on, analysis.recording.source.sha256):
            return analysis
        speech = analysis.speech.warned(trained_on.WARNING)
        return replace(analysis, quality=speech.quality, speech=speech)

    @one_blas_thread
    def warm_up(self, speakers: bool = True) -> None:
        """Load the models and run them once, so that the first analysis does not wait for them.

        Without `speakers`, those of `load_speakers` are left out.
        """
        from ser_engine.audio.vad import detect_speech

        noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE).astype(np.float32)
        detect_speech(noise)
        speech = CleanSpeech(noise, (Span(0.0, 1.0),), Quality(1.0, 1.0, SAMPLE_RATE, 8000.0, None, 0.0, -26.0, False))
        self.model.predict([speech])
        if self.settings.transcribe:
            self.transcriber.warm_up(self.settings.words)
        if speakers:
            self.load_speakers()

    def load_speakers(self) -> None:
        """Load what distinguishes speakers and children's voices, which short recordings seldom need."""
        from ser_engine.speakers import turns, voice_kind

        voice_kind.load_models(self.settings)
        turns.load_models(self.settings)

    @property
    def model(self) -> Model:
        """The emotion model that the settings name, loaded at first use."""
        with self._loading:
            if self._model is None:
                folder = find_model(self.settings, progress=self._on_download)
                self._trained_on = trained_on.read_digests(folder)
                self._languages = read_languages(folder, self.settings)
                self._model = load_answering_model(folder, self.settings)
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
