"""Unions, intersections and differences of spans of time."""

from __future__ import annotations

from collections.abc import Sequence

from ser_engine.types import Span


def unite(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the union of spans, in order and without overlap."""
    united: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if united and span.start <= united[-1].end:
            span = Span(united[-1].start, max(united.pop().end, span.end))
        united.append(span)
    return tuple(united)


def intersect(spans: Sequence[Span], others: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of spans that lie in others; both are in order and without overlap."""
    parts, first, second = [], 0, 0
    while first < len(spans) and second < len(others):
        one, other = spans[first], others[second]
        start, end = max(one.start, other.start), min(one.end, other.end)
        if start < end:
            parts.append(Span(start, end))
        first, second = (first + 1, second) if one.end < other.end else (first, second + 1)
    return tuple(parts)


def without(spans: Sequence[Span], others: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of spans that lie in no other; both are in order and without overlap."""
    edges = [0.0, *(edge for span in others for edge in (span.start, span.end)), float("inf")]
    return intersect(spans, [Span(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)])
