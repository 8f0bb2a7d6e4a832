"""The data that flows through the engine, as plain frozen dataclasses.

The path of a recording: `Recording` → `CleanSpeech` → `Transcript` and `Prediction` → `Analysis`. This module needs
numpy alone, so that a page can draw an answer without loading a model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of `CleanSpeech`: the rate of Whisper and of every model of the five papers."""

TIME_TOLERANCE_S = 0.25
"""Error of Whisper's times, in seconds; the shortest segment of `CleanSpeech` is longer."""

WINDOW_S = 3.0
"""Length of a window of long recordings, in seconds."""

NO_SAMPLES: NDArray[np.float32] = np.empty(0, np.float32)
"""The samples of a recording whose sound is not kept."""

STAGES = ("decode", "clean", "transcribe", "classify")
"""The steps of an analysis, in the order in which they run."""


@dataclass(frozen=True)
class SourceInfo:
    """Properties of a recording before it was decoded.

    `container` and `codec` are short upper-case names ("WAV", "PCM_16"); `channels` and `rate` (Hz) are the
    file's own, at its beginning; `size_bytes` is the length of the encoded file, `sha256` its checksum (empty for
    samples). `track` is the audio track that was decoded, of `tracks`, counted from 1.
    """

    name: str
    container: str
    codec: str
    channels: int
    rate: int
    size_bytes: int
    sha256: str = ""
    track: int = 1
    tracks: int = 1


@dataclass(frozen=True)
class Recording:
    """A decoded recording: mono float32 samples [n], nominally in -1..1, at its own `rate` (Hz).

    `warnings` are plain sentences about sound that was left out, replaced or chosen while decoding. `channels` are the
    file's own, float32 [channels, n], of which `samples` is the mean; None where there is only one, where their number
    changes midway, and in an `Analysis`.
    """

    samples: NDArray[np.float32]
    rate: int
    source: SourceInfo
    warnings: tuple[str, ...] = ()
    channels: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    def without_samples(self) -> Recording:
        """Return the recording without its sound."""
        return replace(self, samples=NO_SAMPLES, channels=None)


@dataclass(frozen=True)
class Span:
    """A part of a recording, in seconds from its beginning."""

    start: float
    end: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    def to_dict(self) -> dict[str, Any]:
        """Return the times as JSON-ready values."""
        return {"start": round(self.start, 2), "end": round(self.end, 2)}


Shifted = TypeVar("Shifted", bound=Span)


@dataclass(frozen=True)
class Quality:
    """Quality of a recording.

    Attributes
    ----------
    duration_s, speech_s : seconds of the whole recording, and of the speech found in it
    sample_rate : the file's own, in Hz; the highest where it changes midway
    bandwidth_hz : the frequency below which practically all of the energy lies, at most half of `sample_rate`
    snr_db : level of speech relative to the pauses, in dB; None without a pause to measure
    clipping : share (0 to 1) of samples that are pinned at full scale
    level_db : root-mean-square level of the speech, in dB below full scale (0 is the loudest possible)
    noise_reduced : whether noise reduction was applied
    warnings : plain sentences about defects, those of decoding first, then the most important
    voice_kinds : "whispered" or "child" where a voice is likely to be; see `speakers.voice_kind`
    """

    duration_s: float
    speech_s: float
    sample_rate: int
    bandwidth_hz: float
    snr_db: float | None
    clipping: float
    level_db: float
    noise_reduced: bool
    warnings: tuple[str, ...] = ()
    voice_kinds: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, rounded for reading."""
        return asdict(self) | {
            "duration_s": round(self.duration_s, 3),
            "speech_s": round(self.speech_s, 3),
            "bandwidth_hz": round(self.bandwidth_hz),
            "snr_db": None if self.snr_db is None else round(self.snr_db, 1),
            "clipping": round(self.clipping, 5),
            "level_db": round(self.level_db, 1),
            "warnings": list(self.warnings),
            "voice_kinds": list(self.voice_kinds),
        }


@dataclass(frozen=True)
class Channel:
    """One of several channels of a recording: its quality before any mixing, and whether the answer uses it.

    `number` counts from 1; `name` is "Left", "Right" or "Channel 3", or the one that was given.
    """

    number: int
    name: str
    used: bool
    quality: Quality

    def to_dict(self) -> dict[str, Any]:
        """Return the channel as JSON-ready values."""
        names = ("speech_s", "bandwidth_hz", "snr_db", "clipping", "level_db")
        quality = self.quality.to_dict()
        return {"number": self.number, "name": self.name, "used": self.used, **{key: quality[key] for key in names}}


@dataclass(frozen=True, eq=False)
class Baseline:
    """How one person sounds when calm, by the model `model`, from `speech_s` seconds of speech.

    `mean` is float32 [states, width]: the mean over time of each of the model's hidden states.
    """

    model: str
    mean: NDArray[np.float32] = field(repr=False)
    speech_s: float


@dataclass(frozen=True)
class CleanSpeech:
    """Preprocessed speech: mono float32 [n] at 16 kHz, without long silences.

    `segments` are the parts of the original recording, in order, that are concatenated in `samples`. `recording` is
    all of it, float32 [m] at the same rate and level, or None where it was not kept. `baseline` is the speaker's, or
    None where it is not known.
    """

    samples: NDArray[np.float32]
    segments: tuple[Span, ...]
    quality: Quality
    recording: NDArray[np.float32] | None = field(default=None, repr=False)
    baseline: Baseline | None = None

    @property
    def duration_s(self) -> float:
        """Length of `samples` in seconds."""
        return len(self.samples) / SAMPLE_RATE

    def warned(self, warning: str) -> CleanSpeech:
        """Return the speech with one more warning, before the others."""
        return replace(self, quality=replace(self.quality, warnings=(warning, *self.quality.warnings)))

    def widened(self, seconds: float) -> CleanSpeech:
        """Return the speech with every segment extended on both sides; segments that then overlap are joined."""
        if self.recording is None:
            return self
        length = len(self.recording) / SAMPLE_RATE
        spans: list[Span] = []
        for span in self.segments:
            wide = Span(max(0.0, span.start - seconds), min(length, span.end + seconds))
            if spans and wide.start <= spans[-1].end:
                wide = Span(spans.pop().start, wide.end)
            spans.append(wide)
        pieces = [self.recording[round(s.start * SAMPLE_RATE) : round(s.end * SAMPLE_RATE)] for s in spans]
        return replace(self, samples=np.concatenate(pieces), segments=tuple(spans))

    def between(self, start: float, end: float) -> NDArray[np.float32]:
        """Return the part of `samples` between two times (seconds) of the original recording."""
        pieces, first = [], 0
        for span in self.segments:
            length = round(span.duration_s * SAMPLE_RATE)
            begin, stop = (round((min(max(t, span.start), span.end) - span.start) * SAMPLE_RATE) for t in (start, end))
            pieces.append(self.samples[first : first + length][begin:stop])
            first += length
        return np.concatenate(pieces) if pieces else self.samples[:0]

    def spans_between(self, first: int, last: int) -> tuple[Span, ...]:
        """Return the parts of the original recording that are the samples `first` to `last` (exclusive)."""
        spans, passed = [], 0
        for span in self.segments:
            length = round(span.duration_s * SAMPLE_RATE)
            begin, end = (min(max(sample - passed, 0), length) for sample in (first, last))
            if begin < end:
                spans.append(Span(span.start + begin / SAMPLE_RATE, span.start + end / SAMPLE_RATE))
            passed += length
        return tuple(spans)

    def original_span(self, start: float, end: float) -> Span:
        """Map the part of `samples` between two times (seconds) to the original recording.

        Silence that was removed is included only between segments of speech; a segment that is merely touched at its
        edge does not count.
        """
        passed, touched = 0.0, []
        for span in self.segments:
            begin, stop = (span.start + min(max(0.0, t - passed), span.duration_s) for t in (start, end))
            touched.append(Span(begin, stop))
            passed += span.duration_s
        longest = max((span.duration_s for span in touched), default=0.0)
        inside = [span for span in touched if span.duration_s and span.duration_s >= min(longest, TIME_TOLERANCE_S)]
        if not inside:
            return Span(self.original_time(start), self.original_time(end))
        return Span(inside[0].start, inside[-1].end)

    def original_time(self, seconds: float) -> float:
        """Map a time in `samples` (seconds) to the original recording (seconds)."""
        passed = 0.0
        for span in self.segments:
            if seconds <= passed + span.duration_s:
                return span.start + max(0.0, seconds - passed)
            passed += span.duration_s
        return self.segments[-1].end if self.segments else seconds


@dataclass(frozen=True)
class Scores:
    """One probability per emotion; `probabilities` is float32 [len(labels)] and sums to one."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.probabilities.shape != (len(self.labels),):
            raise ValueError(f"{len(self.labels)} labels but probabilities of shape {self.probabilities.shape}")

    @property
    def top(self) -> str:
        """The most probable emotion."""
        return self.labels[int(self.probabilities.argmax())]

    def reach(self, threshold: float | None) -> bool | None:
        """Return whether the top probability reaches a threshold, below which a model abstains; None without one."""
        return None if threshold is None else float(self.probabilities.max()) >= threshold

    def ranked(self) -> list[tuple[str, float]]:
        """Return (emotion, probability) pairs, the most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.labels[i], float(self.probabilities[i])) for i in order]

    def to_dict(self) -> dict[str, float]:
        """Return {emotion: probability}, unrounded, in the model's order."""
        return {label: float(p) for label, p in zip(self.labels, self.probabilities, strict=True)}


@dataclass(frozen=True)
class Word(Span):
    """A spoken word with its punctuation, when it was said, and Whisper's confidence in it (0 to 1)."""

    text: str
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Return the word as JSON-ready values."""
        return super().to_dict() | {"text": self.text, "confidence": round(self.confidence, 3)}


@dataclass(frozen=True)
class TranscriptSegment(Span):
    """A sentence, or what Whisper took for one, with its times and Whisper's confidence in it (0 to 1).

    `words` is empty unless their times were asked for. `scores` are the emotions of the sentence, None where there is
    too little speech around it; `sure` is false where the model abstains, as in `Analysis`. `language` is Whisper's
    code, such as "en"; where its detection is doubtful, it is that of most of the recording. `speaker` is a name of
    `Analysis.speakers`, empty where there is only one.
    """

    text: str
    confidence: float
    words: tuple[Word, ...] = ()
    scores: Scores | None = field(default=None, compare=False)
    sure: bool | None = field(default=None, compare=False)
    language: str | None = None
    language_doubtful: bool = False
    speaker: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the segment as JSON-ready values; speaker, words and emotion are left out where there are none."""
        answer = super().to_dict() | {
            "text": self.text,
            "language": self.language,
            "language_doubtful": self.language_doubtful,
            "confidence": round(self.confidence, 3),
        }
        if self.speaker:
            answer["speaker"] = self.speaker
        if self.words:
            answer["words"] = [word.to_dict() for word in self.words]
        if self.scores is not None:
            answer |= {"top": self.scores.top, "sure": self.sure, "scores": self.scores.to_dict()}
        return answer


@dataclass(frozen=True)
class Transcript:
    """The words of a recording; an empty `text` means that there is no intelligible speech.

    `language` is Whisper's two-letter code of most of the speech (None without text); each of the `segments` has its
    own. `engine` names model and precision; `confidence` is the mean token probability, 0 to 1.
    """

    text: str
    language: str | None
    segments: tuple[TranscriptSegment, ...]
    confidence: float
    engine: str

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the segments, that of most of the speech first."""
        own = (segment.language for segment in self.segments if segment.text)
        return tuple(dict.fromkeys(language for language in (self.language, *own) if language))

    def text_in(self, languages: Collection[str]) -> str:
        """Return the text with blanks for words in other languages; words of which no language is known stay."""
        known = (None, *languages)
        if not self.segments:
            return self.text if self.language in known else ""
        stay = iter(
            [(segment.language or self.language) in known for segment in self.segments for _ in segment.text.split()]
        )
        return re.sub(r"\S+", lambda word: word[0] if next(stay, True) else " " * len(word[0]), self.text)

    def to_dict(self) -> dict[str, Any]:
        """Return the transcript as JSON-ready values."""
        return {
            "text": self.text,
            "language": self.language,
            "languages": list(self.languages),
            "engine": self.engine,
            "confidence": round(self.confidence, 3),
            "segments": [segment.to_dict() for segment in self.segments],
        }


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one recording.

    `scores` is the answer. `modalities` holds, for a model that uses audio and text, the scores by "audio" alone, by
    "text" alone (only where the words are informative) and "fused", which is `scores`; it is empty for other models.
    """

    scores: Scores
    modalities: Mapping[str, Scores] = field(default_factory=dict)

    @classmethod
    def mean(cls, predictions: Sequence[Prediction], weights: Sequence[float]) -> Prediction:
        """Return the weighted mean; the mean of a modality is over the predictions that have it."""

        def mean(scores: Sequence[Scores | None]) -> Scores:
            pairs = [(each, weight) for each, weight in zip(scores, weights, strict=True) if each is not None]
            kept, shares = zip(*pairs, strict=True)
            probabilities = np.average([each.probabilities for each in kept], axis=0, weights=shares)
            return Scores(kept[0].labels, probabilities.astype(np.float32))

        names = [name for name in ("audio", "text", "fused") if any(name in each.modalities for each in predictions)]
        modalities = {name: mean([each.modalities.get(name) for each in predictions]) for name in names}
        return cls(mean([each.scores for each in predictions]), modalities)


@dataclass(frozen=True)
class TextPrediction:
    """Emotions in words alone.

    `probabilities` is float32 [len(labels)], one for each label by itself (a text may hold several emotions), neutral
    among them. `margins` is float32 [len(labels)], 0 to 1: how far each emotion is above its threshold; neutral's is
    0. A text whose margins are all zero abstains.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    margins: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not self.probabilities.shape == self.margins.shape == (len(self.labels),):
            raise ValueError("labels, probabilities and margins differ in number")

    @property
    def emotional(self) -> float:
        """How emotional the words are, 0 to 1; exactly 0 where they abstain."""
        return float(self.margins.max(initial=0.0))

    def shares(self) -> dict[str, float]:
        """Return {emotion: its share of the margins}, which sum to one; empty where the words abstain."""
        total = float(self.margins.sum())
        return {label: float(own) / total for label, own in zip(self.labels, self.margins, strict=True) if own > 0}


@dataclass(frozen=True)
class TimelineWindow(Span):
    """The scores of one window of a long recording; `sure` and `speaker` are as in `TranscriptSegment`."""

    scores: Scores
    sure: bool | None = None
    speaker: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the window as JSON-ready values; the speaker is left out where there is only one."""
        answer = super().to_dict() | {"top": self.scores.top, "sure": self.sure, "scores": self.scores.to_dict()}
        return answer | ({"speaker": self.speaker} if self.speaker else {})


@dataclass(frozen=True)
class Voice:
    """Measurements of the speech of a recording; all are None where too little of it is voiced.

    Attributes
    ----------
    pitch_hz : median fundamental frequency
    pitch_range_semitones, level_range_db : from the 10th to the 90th percentile of the voiced, and the spoken frames.
        The level itself says nothing, since it depends on the microphone
    syllables_per_s : voiced peaks of the level per second of speech
    """

    pitch_hz: float | None
    pitch_range_semitones: float | None
    level_range_db: float | None
    syllables_per_s: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return the measurements, rounded for reading."""
        return {name: None if value is None else round(value, 2) for name, value in vars(self).items()}


@dataclass(frozen=True)
class WeightedSpan(Span):
    """A part of a recording, and how far the log-odds of the answer fall without it; below 0 they rise."""

    weight: float

    def to_dict(self) -> dict[str, Any]:
        """Return the part as JSON-ready values."""
        return super().to_dict() | {"weight": round(self.weight, 3)}


@dataclass(frozen=True)
class WeightedWord:
    """The word text[start:end] of a transcript, and how far the log-odds of the emotion in the text fall without it."""

    start: int
    end: int
    weight: float

    def to_dict(self) -> dict[str, Any]:
        """Return the word as JSON-ready values."""
        return {"start": self.start, "end": self.end, "weight": round(self.weight, 3)}


@dataclass(frozen=True)
class Explanation:
    """What an answer rests on: the weights of the moments for the emotion `label`, the voice, and the words.

    `moments` cover all speech, in order. A moment that removed silence divides is several spans of equal weight.
    `words` are weighed for `words_label`, by text alone: the answer, or what the text says where it cannot say that.
    There are none where the words changed nothing.
    """

    label: str
    moments: tuple[WeightedSpan, ...]
    voice: Voice
    words_label: str = ""
    words: tuple[WeightedWord, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON-ready values."""
        return {
            "label": self.label,
            "moments": [moment.to_dict() for moment in self.moments],
            "voice": self.voice.to_dict(),
            "words_label": self.words_label,
            "words": [word.to_dict() for word in self.words],
        }


@dataclass(frozen=True)
class ModelLanguages:
    """Codes of the languages of a model's training, and of those in which its accuracy was measured."""

    trained: tuple[str, ...]
    measured: tuple[str, ...]

    def to_dict(self) -> dict[str, list[str]]:
        """Return the languages as JSON-ready values."""
        return {"trained": list(self.trained), "measured": list(self.measured)}


@dataclass(frozen=True)
class Analysis:
    """The results for one recording.

    `timeline` is empty for short recordings. `transcript` is None without transcription.
    `modalities` are the scores by modality, as in `Prediction`; of a long recording, means over its windows.
    `threshold` is the top probability below which the answer counts as "not sure"; None where the model has none.
    `seconds` maps each of `STAGES` and "total" to its duration.
    `languages` are those of the model's training and tests, None where they are not known.
    `recording` is the decoded recording, `speech` the preprocessed one; `to_dict` leaves them out. Of a long recording,
    they have no samples (see `has_sound`).
    `speakers` are the answers for each of several speakers; the fields above are then for all of them together, and
    `overlaps` are the parts in which several speak at once on one channel, which are not scored.
    `channels` are those of the file, empty where there is only one or all are the same.
    """

    file: str
    model: str
    scores: Scores
    transcript: Transcript | None
    timeline: tuple[TimelineWindow, ...]
    quality: Quality
    seconds: Mapping[str, float]
    recording: Recording = field(repr=False)
    speech: CleanSpeech = field(repr=False)
    modalities: Mapping[str, Scores] = field(default_factory=dict)
    threshold: float | None = None
    languages: ModelLanguages | None = None
    speakers: tuple[Speaker, ...] = ()
    overlaps: tuple[Span, ...] = ()
    channels: tuple[Channel, ...] = ()

    @property
    def unmeasured_languages(self) -> tuple[str, ...]:
        """The languages of the recording in which the model was never measured; doubtful detections do not count."""
        if self.languages is None or self.transcript is None:
            return ()
        clear = {segment.language for segment in self.transcript.segments if not segment.language_doubtful}
        known = self.languages.measured
        return tuple(each for each in self.transcript.languages if each in clear and each not in known)

    @property
    def sure(self) -> bool | None:
        """Whether the top probability reaches the threshold; None where there is no threshold."""
        return self.scores.reach(self.threshold)

    @property
    def has_sound(self) -> bool:
        """Whether the samples of the speech were kept, without which it can be neither scored again nor explained."""
        return len(self.speech.samples) > 0

    def without_sound(self) -> Analysis:
        """Return the analysis without any samples, which takes little memory however long the recording is."""
        return replace(
            self,
            recording=self.recording.without_samples(),
            speech=replace(self.speech, samples=NO_SAMPLES, recording=None),
            speakers=tuple(replace(each, answer=each.answer.without_sound()) for each in self.speakers),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready values, as the command line prints them and the page offers them."""
        modalities = {name: scores.to_dict() for name, scores in self.modalities.items()}
        source = self.recording.source
        return {
            "file": self.file,
            **({"track": source.track, "tracks": source.tracks} if source.tracks > 1 else {}),
            "model": self.model,
            "scores": self.scores.to_dict(),
            "top": self.scores.top,
            "sure": self.sure,
            **({"modalities": modalities} if modalities else {}),
            "transcript": None if self.transcript is None else self.transcript.to_dict(),
            "unmeasured_languages": list(self.unmeasured_languages),
            "model_languages": None if self.languages is None else self.languages.to_dict(),
            "timeline": [window.to_dict() for window in self.timeline],
            **({"speakers": [speaker.to_dict() for speaker in self.speakers]} if self.speakers else {}),
            **({"overlaps": [span.to_dict() for span in self.overlaps]} if self.overlaps else {}),
            "quality": self.quality.to_dict(),
            **({"channels": [channel.to_dict() for channel in self.channels]} if self.channels else {}),
            "baseline_s": None if self.speech.baseline is None else round(self.speech.baseline.speech_s, 3),
            "seconds": {stage: round(seconds, 4) for stage, seconds in self.seconds.items()},
        }


@dataclass(frozen=True)
class Speaker:
    """The answer for one of several speakers of a recording.

    `channel` is the speaker's own, from 1; None where several share one. `share` is the part (0 to 1) of the talking
    time. `answer` is an `Analysis` of this speaker's speech alone: its `speech.segments` are the turns.
    """

    name: str
    channel: int | None
    share: float
    answer: Analysis = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready values; sentences and windows name their speaker instead."""
        scores = {name: scores.to_dict() for name, scores in self.answer.modalities.items()}
        return {
            "name": self.name,
            "channel": self.channel,
            "share": round(self.share, 3),
            "top": self.answer.scores.top,
            "sure": self.answer.sure,
            "scores": self.answer.scores.to_dict(),
            **({"modalities": scores} if scores else {}),
            "turns": [span.to_dict() for span in self.answer.speech.segments],
            "quality": self.answer.quality.to_dict(),
        }


def total_s(spans: Iterable[Span]) -> float:
    """Return the length of all spans together, in seconds."""
    return sum(span.duration_s for span in spans)


def shift(spans: Iterable[Shifted], seconds: float) -> Iterable[Shifted]:
    """Yield spans, with the words of sentences, that many seconds later."""
    for span in spans:
        moved = replace(span, start=span.start + seconds, end=span.end + seconds)
        if isinstance(moved, TranscriptSegment):
            moved = replace(moved, words=tuple(shift(moved.words, seconds)))
        yield moved
