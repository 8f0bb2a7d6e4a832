"""An answer as rows of the two datasets, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ser_engine.batch.sources import Item
from ser_engine.batch.storage import Version, storable
from ser_engine.errors import SerError
from ser_engine.export import sentences
from ser_engine.types import Analysis, Quality, Scores

Row = dict[str, Any]
MEASURED = ("duration_s", "speech_s", "sample_rate", "bandwidth_hz", "snr_db", "clipping", "level_db", "noise_reduced")
"""The fields of `Quality` that are columns as they are."""


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: its row and those of its segments, or neither where it is no recording at all.

    `audio_s` are the seconds of sound that were analyzed.
    """

    file: str
    row: Row | None
    segments: tuple[Row, ...] = field(default=(), repr=False)
    audio_s: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether there is an error in place of an answer."""
        return self.row is not None and self.row.get("error") is not None


class Changed(SerError):
    """A recording was written to while it was read."""


class WorkerDied(SerError):
    """The process that analyzed a recording ended, more than once."""


class Unexpected(SerError):
    """An error that the engine does not know."""


def outcome_of(item: Item, version: Version, result: Analysis | SerError) -> Outcome:
    """Return the rows of an analysis, or of the error in its place; `version` is of the file that was read."""
    if isinstance(result, SerError):
        kind = next((each for each in type(result).__mro__ if each.__name__ != "NotAudio"), SerError).__name__
        return Outcome(item.file, _begin(item, version) | {"error_kind": kind, "error": storable(str(result))})
    row = _begin(item, version) | _answer(result)
    return Outcome(item.file, row, tuple(_segments(item.file, result)), result.quality.duration_s)


def _begin(item: Item, version: Version) -> Row:
    moment = None if version.modified is None else round(version.modified * 1e6)  # microseconds, as the column has it
    known = {"file": storable(item.file), "size_bytes": version.size, "modified": moment, "etag": version.etag}
    return {
        **known,
        "analyzed": datetime.now(UTC),
        "extra": {name: storable(text) for name, text in item.extra.items()},
    }


def _answer(analysis: Analysis) -> Row:
    source, transcript = analysis.recording.source, analysis.transcript
    return {
        "sha256": source.sha256 or None,
        **scores_of(analysis.scores, analysis.sure),
        "transcript": None if transcript is None else transcript.text,
        "language": None if transcript is None else transcript.language,
        "languages": None if transcript is None else list(transcript.languages),
        "speakers": [
            {
                "name": each.name,
                "channel": each.channel,
                "share": each.share,
                **scores_of(each.answer.scores, each.answer.sure),
            }
            for each in analysis.speakers
        ],
        **_quality(analysis.quality),
        "container": source.container,
        "codec": source.codec,
        "channels": source.channels,
        "seconds": {name: float(value) for name, value in analysis.seconds.items()},
    }


def _quality(quality: Quality) -> Row:
    listed = {"warnings": list(quality.warnings), "voice_kinds": list(quality.voice_kinds)}
    return {name: getattr(quality, name) for name in MEASURED} | listed


def _segments(file: str, analysis: Analysis) -> list[Row]:
    channels = {each.name: each.channel for each in analysis.speakers}
    transcribed = analysis.transcript is not None
    return [
        {
            "file": storable(file),
            "number": number,
            "start_s": float(part.start),
            "end_s": float(part.end),
            "speaker": part.speaker or None,
            "channel": channels.get(part.speaker),
            "text": part.text if transcribed else None,
            "language": part.language,
            **scores_of(part.scores, part.sure),
        }
        for number, part in enumerate(sentences(analysis))
    ]


def scores_of(scores: Scores | None, sure: bool | None) -> Mapping[str, Any]:
    """Return the columns of an emotion; None where there is none."""
    if scores is None:
        return {"label": None, "confidence": None, "sure": None, "probabilities": None}
    probabilities = scores.to_dict()
    return {
        "label": scores.top,
        "confidence": max(probabilities.values()),
        "sure": sure,
        "probabilities": probabilities,
    }
