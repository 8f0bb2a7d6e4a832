"""A corpus check as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ser_engine.data.check import CheckReport, Duplicates, SourceReport
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.labels import LABEL_SETS, LabelSet

# Of more files than this of one kind, the rest are counted only.
LISTED = 10
HOUR = 3600.0


def corpora_table() -> str:
    """Return every corpus with a reader: facts, where to get it, and the label sets."""
    rows = [
        (
            corpus.id,
            corpus.title,
            "/".join(corpus.languages) or "none",
            str(corpus.expected_clips),
            str(corpus.expected_speakers),
            str(len(corpus.labels)),
            corpus.license,
        )
        for corpus in CORPORA.values()
    ]
    facts = table(("id", "corpus", "language", "clips", "speakers", "labels", "license"), rows)
    sources = [f"{corpus.title}: {corpus.citation}\n  {corpus.url}" for corpus in CORPORA.values()]
    sets = table(
        ("label set", "labels", ""),
        [(chosen.id, ", ".join(chosen.labels) or "unchanged", chosen.about) for chosen in LABEL_SETS.values()],
    )
    return "\n".join([facts, "", *sources, "", sets])


def report_lines(report: CheckReport) -> Iterator[str]:
    """Yield the lines of a report: a block for each source, then the labels of all of them, then duplicates."""
    for source in report.sources:
        yield from _source(source)
        yield ""
    yield from _distributions(report)
    yield ""
    yield from _duplicates(report.duplicates)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under a header: text aligned to the left, columns of numbers to the right."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    numeric = [all(_is_number(line[i]) for line in lines[1:]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:>{w}}" if n else f"{cell:{w}}" for cell, w, n in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def problem_lines(report: SourceReport) -> Iterator[str]:
    """Yield the problems of a source's files, a few of each kind by name."""
    if not report.clips:
        yield "there is no readable clip in it"
    yield from _list("unreadable", [f"{path}: {why}" for path, why in report.unreadable])
    yield from _list("not understood", report.misnamed)
    yield from _list("listed, but missing", report.missing)
    yield from _list("silent", report.silent)
    yield from _list("present twice, read once", report.repeats)
    yield from _list("other audio files, left out", [f"{path} ({why})" for path, why in report.strays])


def _source(report: SourceReport) -> Iterator[str]:
    corpus = report.source.corpus
    clips = _against(report.clips, corpus.expected_clips if corpus else None)
    speakers = _against(len(report.speakers), corpus.expected_speakers if corpus else None)
    yield f"{report.source.title}  {report.source.root}"
    yield f"  {clips} clips, {speakers} speakers{_hours(report)}"
    if corpus:
        rows = []
        for native in [*corpus.labels, *sorted(set(report.natives) - set(corpus.labels))]:
            count, ours = report.natives[native], corpus.labels.get(native) or "-"
            expected = corpus.expected_labels.get(native, 0)
            published = (str(expected), _difference(count - expected)) if corpus.expected_labels else ("not stated", "")
            rows.append((native, ours, str(count), *published))
        text = table(("its label", "ours", "clips", "published", ""), rows)
        yield from (f"  {line}" for line in text.splitlines())
    if report.all_one_length is not None:
        yield f"  note: every clip is {report.all_one_length:g} s long, so they were cut or padded"
    for line in problem_lines(report):
        yield f"  {line}"


def _distributions(report: CheckReport) -> Iterator[str]:
    """Yield clips by corpus and emotion: all of them, and those of each split that a manifest names."""
    titles = [source.source.title for source in report.sources]
    yield f"Clips by corpus and emotion ({report.labels.id}: {report.labels.about})"
    yield _distribution(titles, [source.labels for source in report.sources], report.labels)
    for split in dict.fromkeys(split for source in report.sources for split in source.splits):
        yield f"\nof these, split “{split}”"
        counts = [source.splits.get(split, Counter()) for source in report.sources]
        yield _distribution(titles, counts, report.labels)


def _distribution(titles: Sequence[str], counts: Sequence[Counter[str | None]], chosen: LabelSet) -> str:
    labels = chosen.order(label for count in counts for label in count if label is not None)
    total = sum(counts, Counter[str | None]())
    columns: tuple[str | None, ...] = (*labels, None) if total[None] else labels
    rows = []
    for title, count in (*zip(titles, counts, strict=True), ("total", total)):
        cells = [str(count[label]) for label in columns]
        cells.insert(len(labels), str(sum(count[label] for label in labels)))
        rows.append([title, *cells])
    return table(["corpus", *labels, "total", *(["left out"] if total[None] else [])], rows)


def _duplicates(duplicates: Sequence[Duplicates]) -> Iterator[str]:
    if not duplicates:
        yield "No two clips have the same audio."
        return
    disagree = sum(group.disagree for group in duplicates)
    yield (
        f"{len(duplicates)} recording{'s' * (len(duplicates) != 1)} in more than one clip, sample by sample; "
        f"{disagree} of them with different labels:"
    )
    for group in sorted(duplicates, key=lambda group: not group.disagree)[: 2 * LISTED]:
        clips = " = ".join(f"{clip.corpus}/{clip.name} ({clip.native or clip.label})" for clip in group.clips)
        yield f"  {'DIFFERENT LABELS ' * group.disagree}{'OTHER SPEAKERS ' * (group.speakers > 1)}{clips}"
    if len(duplicates) > 2 * LISTED:
        yield f"  and {len(duplicates) - 2 * LISTED} more"


def _list(kind: str, items: Sequence[object]) -> Iterator[str]:
    if items:
        yield f"{kind}: {len(items)}"
        yield from (f"  {item}" for item in items[:LISTED])
        if len(items) > LISTED:
            yield f"  and {len(items) - LISTED} more"


def _hours(report: SourceReport) -> str:
    rates = ", ".join(f"{rate} Hz" for rate, _ in report.sample_rates.most_common())
    return f", {report.seconds / HOUR:.2f} hours{' at ' * bool(rates)}{rates}"


def _against(count: int, expected: int | None) -> str:
    return str(count) if expected is None else f"all {expected}" if count == expected else f"{count} of {expected}"


def _difference(difference: int) -> str:
    return f"{-difference} missing" if difference < 0 else f"{difference} surplus" if difference else ""


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit()
