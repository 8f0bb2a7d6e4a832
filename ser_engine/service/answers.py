"""The answers of the service with their types: for its OpenAPI document, and for the client."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

Scores = dict[str, float]
"""Emotion → probability."""


class Entry(BaseModel, extra="allow"):
    """Part of an answer; a later service may add entries."""


class Span(Entry):
    """Seconds of a recording."""

    start: float
    end: float


class Word(Span):
    """A word with its confidence, 0 to 1."""

    text: str
    confidence: float


class Sentence(Span):
    """A sentence; its emotion is missing where there is too little speech."""

    text: str
    language: str | None
    language_doubtful: bool
    confidence: float
    speaker: str = ""
    words: list[Word] = []
    top: str | None = None
    sure: bool | None = None
    scores: Scores | None = None


class Transcript(Entry):
    """The words of a recording."""

    text: str
    language: str | None
    languages: list[str]
    engine: str
    confidence: float
    segments: list[Sentence]


class Window(Span):
    """The emotion of a window of a long recording."""

    top: str
    sure: bool | None
    scores: Scores
    speaker: str = ""


class Quality(Entry):
    """The quality of a recording; levels in dB, the share of clipped samples from 0 to 1."""

    duration_s: float
    speech_s: float
    sample_rate: int
    bandwidth_hz: float
    snr_db: float | None
    clipping: float
    level_db: float
    noise_reduced: bool
    warnings: list[str]
    voice_kinds: list[str]


class Channel(Entry):
    """One of several channels."""

    number: int
    name: str
    used: bool
    speech_s: float
    bandwidth_hz: float
    snr_db: float | None
    clipping: float
    level_db: float


class Speaker(Entry):
    """The answer for one of several speakers."""

    name: str
    channel: int | None
    share: float
    top: str
    sure: bool | None
    scores: Scores
    modalities: dict[str, Scores] = {}
    turns: list[Span]
    quality: Quality


class Languages(Entry):
    """Codes of the languages of a model's training and of its tests."""

    trained: list[str]
    measured: list[str]


class Answer(Entry):
    """The answer to a recording, as `ser analyze --json` prints it."""

    file: str
    track: int | None = None
    tracks: int | None = None
    model: str
    scores: Scores
    top: str
    sure: bool | None
    modalities: dict[str, Scores] = {}
    transcript: Transcript | None
    unmeasured_languages: list[str]
    model_languages: Languages | None
    timeline: list[Window]
    speakers: list[Speaker] = []
    overlaps: list[Span] = []
    quality: Quality
    channels: list[Channel] = []
    baseline_s: float | None
    seconds: dict[str, float]


class Model(Entry):
    """A model of the service."""

    name: str
    default: bool
    labels: list[str]


class Models(Entry):
    """The models of the service."""

    models: list[Model]


class Batch(Entry):
    """How far a batch is; `output` is the folder of its datasets, below the folder of archives."""

    id: str
    state: Literal["running", "finished", "stopped", "failed"]
    output: str
    done: int = 0
    failed: int = 0
    total: int | None = None
    rate: float = 0.0
    eta_s: float | None = None
    audio_s: float = 0.0
    elapsed_s: float = 0.0
    skipped: int = 0
    changed: int = 0
    reason: str = ""


class State(Entry):
    """Whether the service is well, or ready."""

    status: str


class ProblemDetails(Entry):
    """An error (RFC 9457): `detail` is the sentence, the end of `type` its kind."""

    type: str
    title: str
    status: int
    detail: str


class LiveReady(Entry):
    """The first message of a live session."""

    type: Literal["ready"]
    model: str
    labels: list[str]


class LiveUpdate(Span):
    """The result of one window of a live session; `scores` where its state is "speech"."""

    type: Literal["update"]
    state: Literal["speech", "little", "noise", "silence"]
    top: str | None
    sure: bool | None
    scores: Scores | None
    speech_s: float
    level_db: float
    skipped: int


class LiveEnd(Entry):
    """The last message of a live session; `stopping` where the service ended it."""

    type: Literal["end"]
    duration_s: float
    skipped: int
    stopping: bool


EXAMPLE: dict[str, Any] = {
    "file": "dogs.wav",
    "model": "voice-and-words",
    "scores": {"neutral": 0.71, "calm": 0.05, "happy": 0.06, "sad": 0.08, "angry": 0.03, "fearful": 0.02,
               "disgust": 0.04, "surprised": 0.01},
    "top": "neutral",
    "sure": True,
    "transcript": {
        "text": "Dogs are sitting by the door.", "language": "en", "languages": ["en"],
        "engine": "whisper-base (int8 weights)", "confidence": 0.86,
        "segments": [{"start": 0.32, "end": 2.1, "text": "Dogs are sitting by the door.", "language": "en",
                      "language_doubtful": False, "confidence": 0.86}],
    },
    "unmeasured_languages": [],
    "model_languages": {"trained": ["en"], "measured": ["en"]},
    "timeline": [],
    "quality": {"duration_s": 2.4, "speech_s": 1.8, "sample_rate": 16000, "bandwidth_hz": 7100, "snr_db": None,
                "clipping": 0.0, "level_db": -23.0, "noise_reduced": False, "warnings": [], "voice_kinds": []},
    "baseline_s": None,
    "seconds": {"decode": 0.001, "clean": 0.01, "transcribe": 0.6, "classify": 0.1, "total": 0.711},
}  # fmt: skip
"""An answer for the OpenAPI document."""
BATCH_EXAMPLE: dict[str, Any] = {
    "id": "1f2e3d4c5b6a7980", "state": "running", "output": "results/call-center/1f2e3d4c5b6a7980", "done": 120,
    "failed": 2, "total": 4000, "rate": 1.4, "eta_s": 2771.0, "audio_s": 18300.0, "elapsed_s": 86.0, "skipped": 3,
    "changed": 0, "reason": "",
}  # fmt: skip
