"""Chart colors, the style sheet, and the few pieces of HTML that Streamlit has no element for.

Everything else (fonts, light and dark colors, radii) is Streamlit's own theme in .streamlit/config.toml. Colors here
derive from the text color or are the accent, so that one sheet serves both themes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from ser_engine.types import STAGES
from ui.wording import seconds

ACCENT, ACCENT_RGB, ACCENT_SOFT = "#1f9a8f", "31,154,143", "rgba(31,154,143,0.30)"
GRAY, GRAY_SOFT = "#8a9298", "rgba(138,146,152,0.28)"

ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7"
fill="#0f6e68"/><path d="M7 14v4M12 10v12M16.5 6v20M21 11v10M25.5 14v4" stroke="#fff" stroke-width="2.6"
stroke-linecap="round"/></svg>"""
"""The icon of the browser tab, drawn here since Streamlit's named icons would be fetched from another host."""

CSS = """
/* A comfortable measure on wide screens. */
[data-testid="stMainBlockContainer"] { max-width: 1060px; padding-left: 1.5rem; padding-right: 1.5rem; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; } }
h1, h2, h3 { text-wrap: balance; letter-spacing: -0.015em; }
.st-key-input h2, .st-key-promise h2 { font-size: 1.15rem; font-weight: 600; padding: .5rem 0; }
.st-key-finding h1 { padding-top: .25rem; }
.st-key-headline { scroll-margin-top: 4.5rem; }
.st-key-headline h2 { font-size: 2.25rem; line-height: 1.2; padding: .25rem 0 .75rem; }
/* The links to the other pages stand above the text, not in the window's corner. */
[data-testid="stToolbar"] { max-width: 1060px; margin-inline: auto; padding-inline: .25rem; }

/* Plotly's own labels are a pale gray: make them as legible as the text around them. */
[data-testid="stPlotlyChart"] svg text { fill: currentColor !important; }

/* Elements that change while an analysis runs keep their height, so that nothing below them moves. */
.st-key-input { min-height: 12rem; }
[class*="st-key-upload"] { min-height: 4.25rem; }
.st-key-transcript { min-height: 17.5rem; }
.st-key-picture { min-height: 200px; }
.st-key-players { min-height: 6rem; }
.st-key-status { min-height: 6.75rem; }
/* The frame of the WebRTC connection, which has nothing to show. */
.st-key-microphone { position: absolute; width: 1px; height: 1px; overflow: hidden; visibility: hidden; }
.st-key-choice { margin-bottom: .5rem; }
@media (max-width: 640px) { .st-key-status { min-height: 9.5rem; } [class*="st-key-upload"] { min-height: 6.25rem; } }

.lead { font-size: 1.125rem; line-height: 1.55; max-width: 44rem; opacity: .8; margin: 0; text-wrap: pretty; }
.quiet { font-size: .9rem; line-height: 1.5; opacity: .75; margin: 0; text-wrap: pretty; }
.caption { font-size: 1rem; font-weight: 600; margin: 0; }
.shaded { line-height: 1.8; margin: 0; overflow-wrap: anywhere; }
.shaded span { border-radius: .2rem; padding: .15rem 0; }
.finding { line-height: 1.5; margin: 0; padding-left: .9rem; text-wrap: pretty;
  border-left: 3px solid color-mix(in srgb, currentColor 30%, transparent); }
.finding.leak { border-left: 3px double currentColor; }
ul.legend.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 0; padding: 0; }
.legend li { font-size: .9rem; line-height: 1.5; margin: 0; opacity: .8; }
.legend .sign { display: inline-block; width: 1.4em; }
.eyebrow { font-size: .85rem; opacity: .75; margin: 0; overflow-wrap: anywhere; }

ol.steps.steps { list-style: none; margin: 0; padding: 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(4, 1fr); }
.steps li { margin: 0; padding: .6rem 0 0; border-top: 3px solid color-mix(in srgb, currentColor 16%, transparent);
  display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: .5rem; line-height: 1.5; }
.steps .name { font-weight: 600; }
.steps .time { font-variant-numeric: tabular-nums; opacity: .75; }
.steps .waiting { opacity: .72; }
.steps .waiting .name { font-weight: 400; }
.steps .done { border-top-color: #1f9a8f; }
.steps .running { border-top-color: #1f9a8f; animation: breathe 1.4s ease-in-out infinite; }
@keyframes breathe { 50% { border-top-color: color-mix(in srgb, #1f9a8f 25%, transparent); } }
@media (prefers-reduced-motion: reduce) { .steps .running { animation: none; } }

dl.facts.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1.1rem 1.5rem;
  margin: 0; padding: 0; }
.facts div { border-top: 1px solid color-mix(in srgb, currentColor 16%, transparent); padding-top: .5rem; }
.facts.facts dt { margin: 0; padding: 0; font-size: .85rem; opacity: .75; font-weight: 400; }
.facts.facts dd { margin: .1rem 0 0; padding: 0; font-size: 1.05rem; font-variant-numeric: tabular-nums; }

@media (max-width: 640px) { ol.steps.steps, dl.facts.facts { grid-template-columns: repeat(2, 1fr); } }
"""


def apply() -> None:
    """Send the style sheet; call it once per run, before anything is drawn."""
    st.html(f"<style>{CSS}</style>")


def steps(times: Mapping[str, float], running: str | None = None) -> str:
    """Return the four steps of an analysis as an HTML list: those in `times` are done, `running` is in progress."""
    items = []
    for stage in STAGES:
        state = "done" if stage in times else "running" if stage == running else "waiting"
        time = seconds(times[stage]) if stage in times else "…" if stage == running else ""
        current = ' aria-current="step"' if state == "running" else ""
        items.append(
            f'<li class="{state}"{current}><span class="name">{stage.capitalize()}</span>'
            f'<span class="time">{time}</span></li>'
        )
    return f'<ol class="steps" aria-label="Steps of the analysis">{"".join(items)}</ol>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return (name, value) pairs as an HTML definition list that flows into as many columns as fit."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{rows}</dl>'


def legend(signs: Sequence[tuple[str, str]]) -> str:
    """Return the legend of a chart, (sign, meaning) pairs, as an HTML list."""
    items = "".join(
        f'<li><span class="sign" aria-hidden="true">{escape(sign)}</span>{escape(meaning)}</li>'
        for sign, meaning in signs
    )
    return f'<ul class="legend" aria-label="Legend">{items}</ul>'


def finding(severity: str, sentence: str) -> str:
    """Return one finding of an audit as a paragraph that begins with its severity."""
    word = escape(severity)
    return f'<p class="finding {word}"><strong>{word.capitalize()}.</strong> {escape(sentence)}</p>'


def shaded(text: str, spans: Sequence[tuple[int, int, str, str]]) -> str:
    """Return text as a paragraph, in which each span (start, end, color, note) has a background and a note at it."""
    parts, done = [], 0
    for start, end, color, note in spans:
        word = f'<span style="background:{escape(color)}" title="{escape(note)}">{escape(text[start:end])}</span>'
        parts += [escape(text[done:start]), word]
        done = end
    return f'<p class="shaded">{"".join(parts)}{escape(text[done:])}</p>'


def line(css_class: str, text: str) -> str:
    """Return one paragraph of plain text in a class of the style sheet."""
    return f'<p class="{css_class}">{escape(text)}</p>'
