"""The data of the live component: one moment of a session as JSON-ready values, small however long the session is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_engine.errors import InvalidSettings
from ser_engine.labels import group_scores, ungrouped_probability
from ser_engine.live.session import Update
from ser_engine.types import Scores
from ui import wording
from ui.live import example

if TYPE_CHECKING:
    from ui.live.job import LiveJob
    from ui.live.state import LiveState

Point = tuple[int, float, bool] | None

COLUMNS = 240
"""Columns of the timeline at most; in a longer session, each stands for several windows."""
LINES = 8
"""Transcript segments that are shown at once; all of them are in the downloads."""
LOUD_DB, QUIET_DB = 0.0, -60.0
"""Upper and lower end of the level meter."""

STATES = {
    "little": "Not enough speech yet",
    "noise": "Noise, no speech",
    "silence": "Silence",
}
GROUPS = {
    "angry or disgust": "Anger or disgust",
    "fearful or surprised": "Fear or surprise",
    "happy": "Happiness",
    "sad": "Sadness",
}
"""Titles of the four groups of Islam et al."""


def moment(state: LiveState, labels: Sequence[str] = (), loaded: bool = False) -> dict[str, Any]:
    """Return the data of the component for now.

    `labels` are the model's, whose axes are drawn before there are any scores. An example can be played once the
    model is `loaded`: its sound would not wait for that.
    """
    data: dict[str, Any] = {"phase": state.phase, "number": state.number}
    if loaded and not state.active:
        data["example"] = example.as_url()
    job = state.job
    if labels and (job is None or not state.course.labels):
        data["preview"] = preview(labels)
    if job is None:
        return data | {"sentence": "", "seconds": 0.0, "level": 0.0}
    timeline = job.session.timeline
    data |= {
        "sentence": sentence(state),
        "seconds": round(job.session.duration_s, 1),
        "level": level(job.session.level_db) if state.phase == "live" else 0.0,
        "words": [segment.text.strip() for segment in job.words[-LINES:]],
    }
    last = next((update for update in reversed(timeline) if update.scores), None)
    if timeline:
        data["end"] = timeline[-1].end
        data["state"] = timeline[-1].state
        data["stale"] = timeline[-1].state != "speech"
        data["notice"] = STATES.get(timeline[-1].state, "")
    if last is not None and last.scores is not None:
        state.course.follow(timeline)
        below = job.session.analyzer.model.threshold
        data["all"] = scale(last.scores, state.course.labels, below)
        data["groups"] = groups(last.scores, state.course.groups)
    return data


def preview(labels: Sequence[str]) -> dict[str, Any]:
    """Return the two scales without any values, for the axes."""
    even = Scores(tuple(labels), np.full(len(labels), 1 / len(labels), np.float32))
    empty = {"headline": "", "note": ""}
    grouped = groups(even, [])
    return {"all": scale(even, []) | empty, "groups": grouped and grouped | empty}


def sentence(state: LiveState) -> str:
    """Return the status of the session in a sentence or two."""
    job = state.job
    if state.phase == "connecting":
        return "Connecting to your microphone."
    if job is None:
        return ""
    recording = "Playing an example." if job.example else "Recording: speak, and the result follows."
    status = state.ending or recording
    if skipped := job.session.skipped:
        windows = "window was" if skipped == 1 else "windows were"
        status += f" The computer was busy: {wording.count(skipped)} {windows} skipped."
    if lost := job.session.lost_segments:
        segments = "segment" if lost == 1 else "segments"
        status += f" {wording.count(lost).capitalize()} {segments} came too late to transcribe."
    if job.session.baseline is not None:
        status += f" {wording.relative_to(job.session.baseline)}"
    return status


@dataclass
class Course:
    """The timeline of a session as points: (row, probability, whether sure), or None where nothing was scored."""

    labels: list[Point] = field(default_factory=list)
    groups: list[Point] = field(default_factory=list)

    def follow(self, timeline: Sequence[Update]) -> None:
        """Add the new part of a timeline that only grows."""
        for update in timeline[len(self.labels) :]:
            self.labels.append(_point(update.scores, update.sure is not False))
            self.groups.append(_point(merged(update.scores)))


def scale(scores: Scores, points: Sequence[Point], below: float | None = None) -> dict[str, Any]:
    """Return the model's labels with their probabilities, the headline, and the timeline.

    The headline is "Not sure" below the threshold `below`.
    """
    return {
        "names": [wording.name(label) for label in scores.labels],
        "values": [round(float(value), 3) for value in scores.probabilities],
        "headline": wording.headline(scores, below),
        "note": "",
        "columns": columns(points),
    }


def groups(scores: Scores, points: Sequence[Point]) -> dict[str, Any] | None:
    """Return the same for the four groups of Islam et al.; None where the model has no label of any."""
    four = merged(scores)
    if four is None:
        return None
    top, probability = four.ranked()[0]
    rest = ungrouped_probability(scores)
    return scale(four, points) | {
        "names": [GROUPS.get(label, label.capitalize()) for label in four.labels],
        "headline": f"{GROUPS.get(top, top.capitalize())}, {wording.percent(probability)}",
        "note": f"Without neutral and calm, which have a probability of {wording.percent(rest)}." if rest else "",
    }


def merged(scores: Scores | None) -> Scores | None:
    """Return the probabilities of the four groups; None where there are none."""
    try:
        return None if scores is None else group_scores(scores)
    except InvalidSettings:
        return None


def columns(points: Sequence[Point], most: int = COLUMNS) -> list[list[float] | None]:
    """Return a timeline of at most `most` columns: [row, strength, sure], or None where nothing was scored.

    Windows that share a column are represented by their most frequent row and its mean; the column is sure (1 or 0)
    where the model is sure of most of these.
    """
    stride = -(-len(points) // most) or 1
    result: list[list[float] | None] = []
    for first in range(0, len(points), stride):
        part = points[first : first + stride]
        row = Counter(point[0] if point else None for point in part).most_common(1)[0][0]
        same = [point for point in part if point and point[0] == row]
        strength, sure = (sum(point[i] for point in same) / max(1, len(same)) for i in (1, 2))
        result.append(None if row is None else [row, round(strength, 2), int(sure > 0.5)])
    return result


def level(decibels: float) -> float:
    """Return a level in dB below full scale as a share of the meter, 0 to 1."""
    return round(min(1.0, max(0.0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB))), 3)


def to_dict(job: LiveJob) -> dict[str, Any]:
    """Return the whole session as JSON-ready values, including its transcript."""
    return job.session.to_dict() | {
        "ending": job.ending,
        "words": [segment.to_dict() for segment in job.words],
        "lost_segments": job.session.lost_segments,
    }


def _point(scores: Scores | None, sure: bool = True) -> Point:
    if scores is None:
        return None
    best = int(scores.probabilities.argmax())
    return best, float(scores.probabilities[best]), sure
