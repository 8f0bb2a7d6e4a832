"""What a report shows, gathered from the datasets of a job as plain values for JSON."""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ser_engine.batch.output import Datasets
from ser_engine.batch.schema import names_of_columns

MOST, MOST_SEGMENTS = 20_000, 200_000
"""Recordings and segments that charts are drawn from at most: a page has to open. A sample is drawn of more."""
TENTHS = 10
EXAMPLES, SENTENCES = 40, 3
"""Recordings that are listed as the most and the least certain ones, and sentences of each."""
LISTED = 200
"""Errors, and recordings of each warning, that are listed."""
MOST_VALUES = 12
"""A column of a manifest with more different values is no filter."""
TIME = "time"
"""The column of a manifest with the time of a recording; otherwise it is that of its file."""
SURE, UNSURE, NO_SPEECH, FAILED = range(4)
"""What became of a recording."""


@dataclass
class Names:
    """Texts by their numbers, so that a page holds each of them once."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str | None) -> int:
        """Return the number of a text, -1 for none."""
        return -1 if text is None else self.numbers.setdefault(text, len(self.numbers))


def gather(datasets: Datasets) -> dict[str, Any]:
    """Return the contents of a report.

    Keys: `total, counts` of all recordings by what became of them, `audio_s`, `sampled`, `labels, languages, speakers`
    (names), `timed` (whether times are a manifest's), `columns` (of manifests), `recordings` and `segments` (a list for
    each property), `certain, uncertain, warnings, errors`.
    """
    plan = datasets.plan
    total = datasets.recordings.count_rows()
    chosen = set(random.Random(0).sample(range(total), MOST)) if total > MOST else None
    names = names_of_columns(plan.columns)
    timed = TIME in names
    wanted = [
        "file", "label", "confidence", "sure", "language", "duration_s", "modified", "speakers", "warnings",
        "error_kind", "error", *names.values(),
    ]  # fmt: skip
    counts, audio_s = [0] * 4, 0.0
    languages, speakers, files = Names(), Names(), Names()
    labels = {label: number for number, label in enumerate(plan.labels)}
    columns: dict[str, list[Any]] = defaultdict(list)
    extra: dict[str, list[str | None]] = {given: [] for given in names}
    warnings: dict[str, list[str]] = defaultdict(list)
    warned: Counter[str] = Counter()
    failures: list[dict[str, str]] = []
    kinds: Counter[str] = Counter()
    for place, row in enumerate(_rows(datasets.recordings, wanted)):
        state = state_of(row)
        counts[state] += 1
        audio_s += row["duration_s"] or 0.0
        if row["error"] is not None:
            kinds[row["error_kind"]] += 1
            if len(failures) < LISTED:
                failures.append({"file": row["file"], "kind": row["error_kind"], "error": row["error"]})
        for warning in row["warnings"] or ():
            warned[warning] += 1
            if len(warnings[warning]) < EXAMPLES:
                warnings[warning].append(row["file"])
        if chosen is not None and place not in chosen:
            continue
        files.number(row["file"])
        moment = _moment(row[names[TIME]]) if timed else row["modified"]
        columns["day"].append(None if moment is None else f"{moment:%Y-%m-%d}")
        columns["hour"].append(None if moment is None else moment.hour)
        columns["label"].append(labels.get(row["label"], -1))
        columns["state"].append(state)
        columns["confidence"].append(None if row["confidence"] is None else round(row["confidence"], 3))
        columns["seconds"].append(round(row["duration_s"] or 0.0, 1))
        columns["language"].append(languages.number(row["language"]))
        columns["speakers"].append([_speaker(each, speakers, labels) for each in row["speakers"] or ()])
        for given, name in names.items():
            extra[given].append(row[name])
    course, sentences = _segments(datasets, files.numbers, columns, speakers, labels)
    return {
        "total": total,
        "counts": counts,
        "audio_s": audio_s,
        "sampled": len(files.numbers),
        "labels": list(plan.labels),
        "languages": list(languages.numbers),
        "speakers": list(speakers.numbers),
        "timed": timed,
        "columns": _filters(extra),
        "recordings": dict(columns),
        "segments": course,
        "certain": _examples(columns, list(files.numbers), sentences, best=True),
        "uncertain": _examples(columns, list(files.numbers), sentences, best=False),
        "warnings": [{"text": text, "count": n, "files": warnings[text]} for text, n in warned.most_common()],
        "errors": {"kinds": kinds.most_common(), "rows": failures},
    }


def state_of(row: Mapping[str, Any]) -> int:
    """Return what became of a recording."""
    if row["error"] is not None:
        return NO_SPEECH if row["error_kind"] == "NoSpeech" else FAILED
    return UNSURE if row["sure"] is False else SURE


def _rows(dataset: Any, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in dataset.to_batches(columns=list(columns)):
        yield from batch.to_pylist()


def _moment(text: str | None) -> datetime | None:
    """Return a manifest's time on its own clock; None where it is none."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _speaker(speaker: Mapping[str, Any], names: Names, labels: Mapping[str, int]) -> list[Any]:
    """Return the name, the share of the talking time in percent, the emotion and whether it is sure."""
    sure = int(speaker["sure"] is not False)
    return [names.number(speaker["name"]), round(100 * speaker["share"]), labels.get(speaker["label"], -1), sure]


def _segments(
    datasets: Datasets,
    files: Mapping[str, int],
    columns: Mapping[str, list[Any]],
    speakers: Names,
    labels: Mapping[str, int],
) -> tuple[dict[str, list[Any]], dict[int, list[dict[str, Any]]]]:
    """Return when which emotion was found, and the sentences of the recordings that may be listed."""
    listed = {place for best in (True, False) for place in _extremes(columns, best)}
    course: dict[str, list[Any]] = {name: [] for name in ("recording", "tenth", "label", "sure", "speaker")}
    sentences: dict[int, list[dict[str, Any]]] = defaultdict(list)
    wanted = ("file", "start_s", "end_s", "speaker", "text", "label", "confidence", "sure")
    for row in _rows(datasets.segments, wanted):
        place = files.get(row["file"])
        if place is None or row["label"] is None:
            continue
        if place in listed and row["text"]:
            sentences[place].append(row)
        if len(course["tenth"]) < MOST_SEGMENTS:
            middle = (row["start_s"] + row["end_s"]) / 2 / max(columns["seconds"][place], 1e-9)
            course["recording"].append(place)
            course["tenth"].append(min(TENTHS - 1, max(0, int(middle * TENTHS))))
            course["label"].append(labels.get(row["label"], -1))
            course["sure"].append(int(row["sure"] is not False))
            course["speaker"].append(speakers.number(row["speaker"]))
    return course, sentences


def _extremes(columns: Mapping[str, list[Any]], best: bool) -> list[int]:
    """Return the places of the recordings with the most, or the least, certain answers."""
    answered = [place for place, value in enumerate(columns.get("confidence", ())) if value is not None]
    choose = heapq.nlargest if best else heapq.nsmallest
    return choose(EXAMPLES, answered, key=lambda place: columns["confidence"][place])


def _examples(
    columns: Mapping[str, list[Any]],
    files: Sequence[str],
    sentences: Mapping[int, Sequence[Mapping[str, Any]]],
    best: bool,
) -> list[dict[str, Any]]:
    """Return recordings, each with the sentences of which the model is the most certain, or the least."""
    examples = []
    choose = heapq.nlargest if best else heapq.nsmallest
    for place in _extremes(columns, best):
        clear = choose(SENTENCES, sentences.get(place, ()), key=lambda row: row["confidence"])
        shown = [
            {"start": round(row["start_s"], 1), **{name: row[name] for name in ("speaker", "text", "label")}}
            for row in sorted(clear, key=lambda row: row["start_s"])
        ]
        examples.append({"recording": place, "file": files[place], "sentences": shown})
    return examples


def _filters(extra: Mapping[str, Sequence[str | None]]) -> list[dict[str, Any]]:
    """Return the columns of manifests by which a few groups of recordings can be chosen."""
    filters = []
    for name, values in extra.items():
        groups = sorted(set(filter(None, values)))
        if name != TIME and 1 < len(groups) <= MOST_VALUES:
            numbers: Iterable[int] = (groups.index(value) if value else -1 for value in values)
            filters.append({"name": name, "groups": groups, "numbers": list(numbers)})
    return filters
