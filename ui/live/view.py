"""What the live component is told: one moment of a session as JSON-ready values, small however long the session is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ser_engine.errors import InvalidSettings
from ser_engine.groups import grouped, left_out
from ser_engine.live.session import Update
from ser_engine.types import Scores
from ui import wording

if TYPE_CHECKING:
    from ui.live.job import LiveJob
    from ui.live.state import LiveState

Point = tuple[int, float] | None

COLUMNS = 240
"""Columns of the timeline at most; of a longer session, each stands for several windows."""
LINES = 8
"""Stretches of words that are shown while they come; all of them are in the downloads."""
LOUD_DB, QUIET_DB = 0.0, -60.0
"""Where the level meter ends and begins."""

STATES = {
    "little": "A little speech, too little yet",
    "noise": "Noise, no speech",
    "silence": "Silence",
}
GROUPS = {
    "angry or disgust": "Anger or disgust",
    "fearful or surprised": "Fear or surprise",
    "happy": "Happiness",
    "sad": "Sadness",
}
"""Paper-3's four groups as a heading has them."""


def moment(state: LiveState) -> dict[str, Any]:
    """Return what the component draws now."""
    told: dict[str, Any] = {"phase": state.phase, "number": state.number}
    job = state.job
    if job is None:
        return told | {"sentence": "", "seconds": 0.0, "level": 0.0}
    timeline = job.session.timeline
    told |= {
        "sentence": sentence(state),
        "seconds": round(job.session.duration_s, 1),
        "level": level(job.session.level_db) if state.phase == "live" else 0.0,
        "words": [segment.text.strip() for segment in job.words[-LINES:]],
    }
    last = next((update for update in reversed(timeline) if update.scores), None)
    if timeline:
        told["end"] = timeline[-1].end
        told["state"] = timeline[-1].state
        told["stale"] = timeline[-1].state != "speech"
        told["saying"] = STATES.get(timeline[-1].state, "")
    if last is not None and last.scores is not None:
        state.course.follow(timeline)
        below = job.session.analyzer.model.threshold
        told["all"] = scale(last.scores, state.course.labels, below)
        told["groups"] = groups(last.scores, state.course.groups)
    return told


def sentence(state: LiveState) -> str:
    """Return what goes on, in a sentence or two."""
    job = state.job
    if state.phase == "connecting":
        return "Connecting to your microphone."
    if job is None:
        return ""
    said = state.ending or "Listening: speak, and the answer follows your voice."
    if skipped := job.session.skipped:
        windows = "window was" if skipped == 1 else "windows were"
        said += f" The computer was busy: {wording.count(skipped)} {windows} skipped."
    if lost := job.session.lost_segments:
        said += f" Words of {wording.count(lost)} {'stretch' if lost == 1 else 'stretches'} of speech came too late."
    return said


@dataclass
class Course:
    """The timeline of a session as points, (row, probability) or None where nothing was scored, each made once."""

    labels: list[Point] = field(default_factory=list)
    groups: list[Point] = field(default_factory=list)

    def follow(self, timeline: Sequence[Update]) -> None:
        """Take what is new in a timeline that only grows."""
        for update in timeline[len(self.labels) :]:
            self.labels.append(_point(update.scores))
            self.groups.append(_point(merged(update.scores)))


def scale(scores: Scores, points: Sequence[Point], below: float | None = None) -> dict[str, Any]:
    """Return the model's labels with their probabilities, the answer in words, and the timeline in them.

    With less than `below` the answer is that it is not sure.
    """
    return {
        "names": [wording.name(label) for label in scores.labels],
        "values": [round(float(value), 3) for value in scores.probabilities],
        "headline": wording.headline(scores, below),
        "note": "",
        "columns": columns(points),
    }


def groups(scores: Scores, points: Sequence[Point]) -> dict[str, Any] | None:
    """Return the same for paper-3's four groups; None where the model has no label of any."""
    four = merged(scores)
    if four is None:
        return None
    top, probability = four.ranked()[0]
    rest = left_out(scores)
    return {
        "names": [GROUPS.get(label, label.capitalize()) for label in four.labels],
        "values": [round(float(value), 3) for value in four.probabilities],
        "headline": f"{GROUPS.get(top, top.capitalize())}, {wording.percent(probability)}",
        "note": f"Among the groups alone; outside them, neutral and calm have {wording.percent(rest)}." if rest else "",
        "columns": columns(points),
    }


def merged(scores: Scores | None) -> Scores | None:
    """Return the four groups' probabilities; None where there is nothing to merge."""
    try:
        return None if scores is None else grouped(scores)
    except InvalidSettings:
        return None


def columns(points: Sequence[Point], most: int = COLUMNS) -> list[list[float] | None]:
    """Return a timeline of at most `most` columns: [row, strength], or None where nothing was scored.

    Where several windows share a column, it has what most of them have, and the mean of those.
    """
    stride = -(-len(points) // most) or 1
    found: list[list[float] | None] = []
    for first in range(0, len(points), stride):
        part = points[first : first + stride]
        row = Counter(point[0] if point else None for point in part).most_common(1)[0][0]
        values = [point[1] for point in part if point and point[0] == row]
        found.append(None if row is None else [row, round(sum(values) / len(values), 2)])
    return found


def level(decibels: float) -> float:
    """Return a level in dB below full scale as a share of the meter, 0 to 1."""
    return round(min(1.0, max(0.0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB))), 3)


def to_dict(job: LiveJob) -> dict[str, Any]:
    """Return the whole session as JSON-ready values, words included."""
    return job.session.to_dict() | {
        "ending": job.ending,
        "words": [segment.to_dict() for segment in job.words],
        "lost_spoken": job.session.lost_segments,
    }


def _point(scores: Scores | None) -> Point:
    if scores is None:
        return None
    best = int(scores.probabilities.argmax())
    return best, float(scores.probabilities[best])
