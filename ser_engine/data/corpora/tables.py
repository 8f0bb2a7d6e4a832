"""What a check found out, as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ser_engine.data.check import Check, Findings, Twins
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.labels import LABEL_SETS, LabelSet

# More of a kind than this are counted, not named.
NAMED = 10
HOUR = 3600.0


def known_corpora() -> str:
    """Return what there are readers for: facts, where to get them, and the label sets."""
    rows = [
        (
            corpus.id,
            corpus.title,
            "/".join(corpus.languages),
            str(corpus.expected_clips),
            str(corpus.expected_speakers),
            str(len(corpus.labels)),
            corpus.licence,
        )
        for corpus in CORPORA.values()
    ]
    facts = table(("id", "corpus", "language", "clips", "speakers", "labels", "licence"), rows)
    sources = [f"{corpus.title}: {corpus.citation}\n  {corpus.url}" for corpus in CORPORA.values()]
    sets = table(
        ("label set", "labels", ""),
        [(chosen.id, ", ".join(chosen.labels) or "as they are", chosen.about) for chosen in LABEL_SETS.values()],
    )
    return "\n".join([facts, "", *sources, "", sets])


def checked(result: Check) -> Iterator[str]:
    """Yield the lines of a check: one block a source, then the labels over all of them, then twins."""
    for found in result.findings:
        yield from _source(found)
        yield ""
    yield from _distributions(result)
    yield ""
    yield from _twins(result.twins)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under a header: the first column and texts to the left, numbers to the right."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    numeric = [all(_is_number(line[i]) for line in lines[1:]) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:>{w}}" if n else f"{cell:{w}}" for cell, w, n in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def problems(found: Findings) -> Iterator[str]:
    """Yield what is wrong with a source's files, a few of each kind by name."""
    if not found.clips:
        yield "there is no clip in it that can be heard"
    yield from _named("unreadable", [f"{path}: {why}" for path, why in found.unreadable])
    yield from _named("not understood", found.misnamed)
    yield from _named("listed, but not there", found.missing)
    yield from _named("silent", found.silent)
    yield from _named("there a second time, read once", found.repeats)
    yield from _named("other audio, left out", [f"{path} ({why})" for path, why in found.strays])


def _source(found: Findings) -> Iterator[str]:
    corpus = found.source.corpus
    yield f"{found.source.title}  {found.source.root}"
    if corpus is None:
        yield f"  {found.clips} clips, {len(found.speakers)} speakers{_hours(found)}"
    else:
        clips = _against(found.clips, corpus.expected_clips)
        speakers = _against(len(found.speakers), corpus.expected_speakers)
        yield f"  {clips} clips, {speakers} speakers{_hours(found)}"
        rows = []
        for native in [*corpus.labels, *sorted(set(found.natives) - set(corpus.labels))]:
            count, expected = found.natives[native], corpus.expected_labels.get(native, 0)
            ours = corpus.labels.get(native) or "-"
            rows.append((native, ours, str(count), str(expected), _difference(count - expected)))
        text = table(("its label", "ours", "found", "published", ""), rows)
        yield from (f"  {line}" for line in text.splitlines())
    if found.all_one_length is not None:
        yield f"  note: every clip is {found.all_one_length:g} s long; speech is not: they were cut or padded"
    for line in problems(found):
        yield f"  {line}"


def _distributions(result: Check) -> Iterator[str]:
    """Yield corpora by emotions: of all clips, and of each split where a manifest names some (paper 1's tables)."""
    titles = [found.source.title for found in result.findings]
    yield f"Clips by corpus and emotion ({result.labels.id}: {result.labels.about})"
    yield _distribution(titles, [found.labels for found in result.findings], result.labels)
    for split in dict.fromkeys(split for found in result.findings for split in found.splits):
        yield f"\nof these, split “{split}”"
        counts = [found.splits.get(split, Counter()) for found in result.findings]
        yield _distribution(titles, counts, result.labels)


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


def _twins(twins: Sequence[Twins]) -> Iterator[str]:
    if not twins:
        yield "No two clips hold the same sound."
        return
    disagree = sum(group.disagree for group in twins)
    yield (
        f"{len(twins)} sound{'s' * (len(twins) != 1)} in more than one clip, sample by sample; "
        f"{disagree} of them with different labels:"
    )
    for group in sorted(twins, key=lambda group: not group.disagree)[: 2 * NAMED]:
        clips = " = ".join(f"{clip.corpus}/{clip.name} ({clip.native or clip.label})" for clip in group.clips)
        yield f"  {'DIFFERENT LABELS ' * group.disagree}{'OTHER SPEAKERS ' * (group.speakers > 1)}{clips}"
    if len(twins) > 2 * NAMED:
        yield f"  and {len(twins) - 2 * NAMED} more"


def _named(kind: str, items: Sequence[object]) -> Iterator[str]:
    if items:
        yield f"{kind}: {len(items)}"
        yield from (f"  {item}" for item in items[:NAMED])
        if len(items) > NAMED:
            yield f"  and {len(items) - NAMED} more"


def _hours(found: Findings) -> str:
    rates = ", ".join(f"{rate} Hz" for rate, _ in found.sample_rates.most_common())
    return f", {found.seconds / HOUR:.2f} hours{' at ' * bool(rates)}{rates}"


def _against(found: int, expected: int) -> str:
    return f"{found} of {expected}" if found != expected else f"all {expected}"


def _difference(difference: int) -> str:
    return f"{-difference} missing" if difference < 0 else f"{difference} surplus" if difference else ""


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit()
