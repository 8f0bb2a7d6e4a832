"""A live session measured on a labeled conversation (Islam, table 48 and figure 34).

Islam (section 3.5.2) cuts a conversation into segments of two seconds, each with one emotion, and compares them with
the system's answers. The answer here is the one that the page shows when a segment ends.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from ser_engine.analyzer import Analyzer
from ser_engine.audio.decode import load_audio
from ser_engine.data.conversation import Turn, read_turns
from ser_engine.data.corpora import registry
from ser_engine.errors import CorpusError, InvalidSettings
from ser_engine.evaluation.metrics import BOOTSTRAPS, class_figures, interval, percent
from ser_engine.evaluation.predictions import NO_SPEECH
from ser_engine.evaluation.record import RunRecord
from ser_engine.labels import GROUPS, LABEL_SETS, find_emotion, find_group, group_scores
from ser_engine.live.player import CHUNK_S
from ser_engine.live.session import HOP_S, Gate, LiveSession, Update
from ser_engine.models.registry import find_model
from ser_engine.models.store import read_config, sha256
from ser_engine.settings import Settings
from ser_engine.types import Recording

KIND: Literal["conversation"] = "conversation"
SEGMENT_S = 2.0
"""Islam, section 3.5.2: "Each 2-second segment was manually assigned an emotional category"."""
LABELED_S = 0.5
"""A segment with less labeled speech counts as silent, and is left out as by Islam."""
PUBLISHED = ("islam/table-48/HuBERT/clip-1", "islam/table-48/HuBERT/clip-2")


@dataclass(frozen=True)
class Plan:
    """What is measured: a model as in `Settings.model`, a recording, its turns, and the session's parameters.

    `unseen` is the user's word that no speaker is in the model's training; `name` is the run's.
    """

    model: str
    recording: Path
    turns: Path
    window_s: float = SEGMENT_S
    hop_s: float = HOP_S
    gate: Gate = "speech"
    unseen: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if self.name != Path(self.name).name:
            raise InvalidSettings(f"“{self.name}” cannot be the name of a run's folder.")
        if abs(SEGMENT_S / self.hop_s - round(SEGMENT_S / self.hop_s)) > 1e-9:
            raise InvalidSettings(f"A hop has to divide {SEGMENT_S:g} s, so that a window ends with each segment.")


@dataclass(frozen=True)
class Segment:
    """Two seconds: the emotion of most of its labeled time, None for silence, and the session's update at its end."""

    start: float
    end: float
    true: str | None
    update: Update | None


def evaluate_conversation(plan: Plan, settings: Settings, results: Path) -> RunRecord:
    """Play the conversation to a session, compare segment by segment, and write the record.

    Response times are from the chunk that completes a window to its update, one after the other, after a warm-up. A
    segment that was taken for silence or noise counts as an error, and as unanswered.
    Raise CorpusError if no turn has an emotion of the model's, InvalidSettings if `unseen` contradicts config.json.
    """
    turns = read_turns(plan.turns)
    recording = load_audio(plan.recording, settings)
    settings = replace(settings, model=plan.model, transcribe=False)
    config = read_config(find_model(settings))
    unseen, sentence = _provenance(config, turns, plan)
    analyzer = Analyzer(settings)
    analyzer.warm_up()
    session = LiveSession(analyzer, window_s=plan.window_s, hop_s=plan.hop_s, gate=plan.gate)
    responses = _play(recording, session)
    measured = segments(turns, session.timeline, recording.duration_s)
    own = {find_emotion(label) or label: label for label in analyzer.model.labels}
    groups = _measure(measured, LABEL_SETS[GROUPS].labels, groups=True)
    emotions = _measure(measured, tuple(own), groups=False)
    if not groups and not emotions:
        raise CorpusError(f"No segment of {plan.turns.name} has an emotion that {analyzer.model.id} has.")
    speakers = sorted({turn.speaker for turn in turns if turn.speaker})
    details = {
        "recording": plan.recording.name,
        "sha256": sha256(plan.recording),
        "duration_s": round(recording.duration_s, 2),
        "speakers": speakers,
        "session": {"window_s": plan.window_s, "hop_s": plan.hop_s, "gate": plan.gate},
        "segment_s": SEGMENT_S,
        "segments": len(measured),
        "silent": sum(segment.true is None for segment in measured),
        "groups": groups,
        "emotions": emotions,
        "response_ms": _response_times(list(responses.values())),
        "timeline": [_row(segment, responses) for segment in measured],
    }
    name = plan.name or re.sub(r"[^\w.-]+", "-", f"{analyzer.model.id}-{plan.recording.stem}")
    record = RunRecord(
        id=f"{KIND}/{name}",
        kind=KIND,
        model=analyzer.model.id,
        speaker_independent=unseen,
        corpora=tuple(sorted({speaker.split("/")[0] for speaker in speakers})),
        note=sentence,
        published=PUBLISHED,
        details=details,
    )
    record.write(results)
    return record


def segments(turns: Sequence[Turn], timeline: Sequence[Update], duration_s: float) -> list[Segment]:
    """Return the whole segments of a conversation, each with the last update that ended in it."""
    result = []
    for number in range(int(duration_s / SEGMENT_S + 1e-6)):
        start, end = number * SEGMENT_S, (number + 1) * SEGMENT_S
        shares: dict[str, float] = defaultdict(float)
        for turn in turns:
            shares[turn.emotion] += max(0.0, min(end, turn.end) - max(start, turn.start))
        true = max(shares, key=shares.__getitem__) if sum(shares.values()) >= LABELED_S else None
        shown = [update for update in timeline if start < update.end <= end + 1e-6]
        result.append(Segment(start, end, true, shown[-1] if shown else None))
    return result


def _play(recording: Recording, session: LiveSession) -> dict[float, float]:
    """Play the recording as fast as it goes; return {end of a window: seconds until its update}."""
    responses: dict[float, float] = {}
    size = round(CHUNK_S * recording.rate)
    for first in range(0, len(recording.samples), size):
        begun = time.perf_counter()
        updates = session.push(recording.samples[first : first + size], recording.rate)
        seconds = time.perf_counter() - begun
        responses |= {update.end: seconds for update in updates}
    session.finish()
    return responses


def _answer(segment: Segment, groups: bool) -> str | None:
    """Return the session's answer, a group or an emotion under our name for it; None if it gave no scores."""
    if segment.update is None or segment.update.scores is None:
        return None
    scores = segment.update.scores
    top = group_scores(scores).top if groups else scores.top
    return top if groups else find_emotion(top) or top


def _measure(measured: Sequence[Segment], labels: tuple[str, ...], groups: bool) -> dict[str, Any]:
    """Return the figures over the labels, in percent; nothing if no segment has one of them."""
    rows, left_out = [], Counter[str]()
    stretches: list[int] = []
    for number, segment in enumerate(measured):
        true = segment.true
        if true and groups and true not in labels:
            true = find_group(true)
        if true in labels:
            rows.append((labels.index(str(true)), _answer(segment, groups)))
            begins = not number or measured[number - 1].true != segment.true
            stretches.append(number if begins or not stretches else stretches[-1])
        elif segment.true:
            left_out[segment.true] += 1
    if not rows:
        return {}
    true_labels = np.array([label for label, _ in rows])
    predicted = np.array([labels.index(answer) if answer in labels else NO_SPEECH for _, answer in rows])
    answered = predicted != NO_SPEECH
    return {
        "labels": list(labels),
        "tested": len(rows),
        "unanswered": int((~answered).sum()),
        "left_out": dict(sorted(left_out.items())),
        "metrics": _figures(true_labels, predicted, labels),
        "interval": list(interval_of_accuracy(true_labels == predicted, stretches)),
        "metrics_of_answered": _figures(true_labels[answered], predicted[answered], labels),
        "per_class": class_figures(true_labels, predicted, labels)[0],
        "confusion": confusion_matrix(true_labels, predicted, labels=range(len(labels))).tolist(),
    }


def interval_of_accuracy(right: NDArray[np.bool_], stretches: Sequence[int]) -> tuple[float, float]:
    """Return the 95% interval of the accuracy, in percent, when stretches, not segments, are drawn with replacement.

    `right` is bool [n]; segments with the same number in `stretches`, int [n], follow each other with one emotion.
    """
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(np.asarray(stretches) == number) for number in np.unique(stretches)]
    drawn = (np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]) for _ in range(BOOTSTRAPS))
    return interval([100 * float(right[chosen].mean()) for chosen in drawn])


def _figures(true: NDArray[np.int_], predicted: NDArray[np.int_], labels: Sequence[str]) -> dict[str, float]:
    """Return accuracy, macro and weighted F1 in percent, over the classes that occur; none for no segments."""
    if not len(true):
        return {}
    return {"accuracy": percent(true == predicted), **class_figures(true, predicted, labels)[1]}


def _response_times(seconds: Sequence[float]) -> dict[str, float]:
    """Return mean, median, 95th percentile and most of the response times, in milliseconds; nothing for none."""
    if not seconds:
        return {}
    times = 1000 * np.array(seconds)
    figures = {"mean": times.mean(), "p50": np.median(times), "p95": np.percentile(times, 95), "most": times.max()}
    return {name: round(float(value), 1) for name, value in figures.items()}


def _row(segment: Segment, responses: dict[float, float]) -> dict[str, Any]:
    """Return one segment as JSON-ready values."""
    update = segment.update
    seconds = responses.get(update.end) if update else None
    return {
        "start": segment.start,
        "end": segment.end,
        "true": segment.true,
        "state": update.state if update else None,
        "predicted": _answer(segment, groups=False),
        "group": _answer(segment, groups=True),
        "response_ms": None if seconds is None else round(1000 * seconds, 1),
    }


def _provenance(config: dict[str, Any], turns: Sequence[Turn], plan: Plan) -> tuple[bool, str]:
    """Return whether the speakers are known to be unseen by the model, and a sentence on it.

    A model of one fold names them ("unseen_speakers"); a speaker is "<corpus>/<name>".
    """
    speakers = {turn.speaker for turn in turns}
    unseen = set(config.get("unseen_speakers", ()))
    if unseen and speakers <= unseen:
        return True, "The model was trained on other speakers: it is that of a fold that left these out."
    corpora = {speaker.split("/")[0] for speaker in speakers}
    trained = {registry.corpus_id(str(name)) for name in config.get("corpora", ())} & set(registry.CORPORA)
    if both := sorted(corpora & trained):
        if plan.unseen:
            raise InvalidSettings(f"{plan.model} was trained on {', '.join(both)}, so these speakers are not unseen.")
        return False, f"The model was trained on these speakers: {', '.join(both)} was part of its training."
    # A manifest may hold clips of any corpus under a name of its own.
    if trained and corpora <= set(registry.CORPORA) and len(trained) == len(config["corpora"]):
        return True, f"The model was trained on other corpora: {', '.join(sorted(trained))}."
    if plan.unseen:
        return True, "That no speaker is in the model's training is the word of whoever ran this; not checked."
    return False, "Whether these speakers are in the model's training is not known."
