"""Results: what was measured, under which protocol, beside what the papers say. It reads files; no model is loaded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

# Plotly trusts any pandas in sys.modules, also one that a warm-up's thread is half-way through importing.
import pandas  # noqa: F401
import streamlit as st

from ser_engine.errors import SerError
from ser_engine.settings import PROJECT, Settings
from ui import session, theme, wording
from ui.panels import as_table, draw
from ui.results import (
    charts,
    comparison,
    conversation_section,
    conversations,
    corpora,
    corpus_charts,
    not_run,
    one_run,
    run_files,
    text_runs,
    training_now,
)
from ui.wording import CORPORA

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from ui.results.corpora import Description
    from ui.results.run_files import Results, Run

METRICS = {"UA": "Every emotion alike (UA)", "WA": "Every clip alike (WA)"}
COLUMNS = {
    "model": st.column_config.TextColumn("Model", pinned=True, width=170),
    "voices": st.column_config.TextColumn("Voices", help="Whether the test's speakers were in the training, too"),
    "UA": st.column_config.ProgressColumn(
        "UA", format="%.1f", min_value=0, max_value=100, width=120, help="Mean of the emotions' recalls, in per cent"
    ),
    "interval": st.column_config.TextColumn("95% interval", help="Of UA, by bootstrap over speakers"),
    "WA": st.column_config.NumberColumn("WA", format="%.1f", help="Share of clips named correctly, in per cent"),
    "UA_plus_WA": st.column_config.NumberColumn("UA + WA", format="%.1f"),
    "macro_f1": st.column_config.NumberColumn("F1", format="%.1f", help="Mean of the emotions' F1, in per cent"),
    "protocol": st.column_config.TextColumn("Protocol", width=190),
    "published_UA": st.column_config.NumberColumn("Published UA", format="%.1f"),
    "published_WA": st.column_config.NumberColumn("Published WA", format="%.1f"),
    "published_protocol": st.column_config.TextColumn("Published protocol", width=240),
    "published_in": st.column_config.TextColumn("Published in"),
    "features": st.column_config.TextColumn("Features", width=220),
    "corpora": st.column_config.TextColumn("Corpora", width=220),
    "size_mb": st.column_config.NumberColumn("Size", format="%.1f MB"),
    "seconds": st.column_config.NumberColumn("Seconds", format="%.0f", help="Of the whole run, all folds"),
    "run": st.column_config.TextColumn("Run", width=260),
}
RECIPES = {"sharma": "Paper 1", "islam": "Paper 3", "gomes": "Paper 4"}


def results_page() -> None:
    """Draw the page: the finding, the gap, all runs, one run, the corpora."""
    try:
        settings = Settings.from_env()
        folder = settings.results
    except SerError as error:
        st.title("Results", anchor=False)
        st.error(str(error))
        return
    found = run_files.read(folder)
    with st.container(key="finding", gap="xsmall"):
        st.html(theme.line("eyebrow", "Results"))
        st.title(comparison.headline(found), anchor=False)
        st.html(theme.line("lead", comparison.explanation(found)))
    for problem in found.problems:
        st.warning(problem, icon=":material/draft:")
    if training_now.read(settings.cache, time.time()):
        show_training_now(settings.cache)
    talks, broken = conversations.read(folder)
    for problem in broken:
        st.warning(problem, icon=":material/draft:")
    if found.runs:
        # Who followed a link to a run sees it first; who chooses one in the table, below the table.
        if st.session_state.setdefault("linked", bool(st.query_params.get("run"))):
            one_run.show(found, chosen_run(found))
            show_gap(found)
            show_table(found)
        else:
            show_gap(found)
            show_table(found)
            one_run.show(found, chosen_run(found))
    if talks:
        conversation_section.show(talks, found.published)
    show_published(found)
    if found.runs:
        show_not_run(found)
    try:
        description = corpora.read(folder)
    except run_files.Unreadable as error:
        st.warning(str(error), icon=":material/draft:")
        description = None
    if description is not None:
        show_corpora(description)
        show_augmentations(description)
    readers = text_runs.read(folder, found.others)
    text_runs.show(readers)
    known = {run.id for run in readers} | {talk.id for talk in talks}
    if others := [name for name in found.others if name not in known]:
        names = " and ".join(others)
        st.html(theme.line("quiet", f"Also in the folder, measuring other things than emotions: {names}."))


@st.fragment(run_every="5s")
def show_training_now(cache: Path) -> None:
    """Draw the learning curves of runs that are under way, again every few seconds."""
    st.space("small")
    st.header("Training now", anchor=False)
    for number, training in enumerate(training_now.read(cache, time.time())):
        st.subheader(training.name, anchor=False)
        if training.history.problem:
            st.html(theme.line("quiet", "Its history is being written."))
        last = f"The last epoch ended {wording.seconds(training.ago_s)} ago."
        st.html(theme.line("quiet", f"{last} No figure of it counts before all folds are tested."))
        one_run.draw_curves(training.history, f"now-{number}")


def show_gap(found: Results) -> None:
    """Draw what a random protocol adds to the same system."""
    pairs = comparison.gaps(found.runs)
    if not pairs:
        return
    st.space("small")
    st.header("What the protocol is worth", anchor=False)
    st.html(
        theme.line(
            "quiet",
            "The same system on the same corpora, twice: tested on speakers it never heard, and on a random part of "
            "the clips, whose speakers it knows from training. The line between is not skill.",
        )
    )
    metric = st.segmented_control(
        "Counting", list(METRICS), format_func=METRICS.__getitem__, default="UA", required=True,
        key="metric", label_visibility="collapsed",
    )  # fmt: skip
    told = "; ".join(comparison.verdict(gap, metric) for gap in pairs)
    draw(charts.protocol_gap(pairs, found.published, metric), f"{metric} by protocol. {told}", "gap")
    signs = [("●", "voices it never heard"), ("○", "voices it knows, random split")]
    if any(gap.leaked for gap in pairs):
        signs.append(("✕", "copies of the test clips in training, a trap"))
    if any(gap.new.published in found.published for gap in pairs):
        signs.append(("◇", "the paper's own figure"))
    st.html(theme.legend(signs))
    rows = [(gap, run) for gap in pairs for run in (gap.new, *gap.heard, *gap.leaked)]
    as_table(
        {
            "System": [comparison.label(gap.new) for gap, _ in rows],
            "Voices": [comparison.voices(run) for _, run in rows],
            "Protocol": [run.protocol for _, run in rows],
            metric: [run.metrics.get(metric) for _, run in rows],
        }
    )


def show_table(found: Results) -> None:
    """Show all runs; a click on a row shows that run."""
    st.space("small")
    st.header("All runs", anchor=False)
    st.html(
        theme.line(
            "quiet",
            "Click on a column to sort by it, on a row to see that run. All figures are per cent; beside what was "
            "measured here stands what the paper printed, each with its protocol.",
        )
    )
    rows = [comparison.row(run, found.published) for run in found.runs]
    ids = [run.id for run in found.runs]

    def choose() -> None:
        chosen = st.session_state["runs"].selection.rows
        if chosen and chosen[0] < len(ids):
            st.session_state["run"] = ids[chosen[0]]
            remember()

    st.dataframe(
        {name: [row[name] for row in rows] for name in COLUMNS},
        column_config=COLUMNS,
        hide_index=True,
        height=min(36 * (len(rows) + 1) + 2, 520),
        selection_mode="single-row",
        on_select=choose,
        key="runs",
        placeholder="–",
        alt=f"{len(rows)} runs with their figures; the same is in the CSV",
    )
    st.download_button(
        "Download the table as CSV",
        lambda: comparison.to_csv(found.runs, found.published),
        file_name="results.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
    )


def remember() -> None:
    """Put the chosen run into the page's address, so that it can be shared."""
    st.query_params["run"] = st.session_state["run"]


def chosen_run(found: Results) -> Run:
    """Let the person choose a run; at first it is the one that the address names, or the best."""
    st.space("small")
    st.header("One run", anchor=False)
    runs = {run.id: run for run in found.runs}
    asked = st.query_params.get("run")
    if st.session_state.get("run") not in runs:
        best = comparison.best(found.runs) or found.runs[0]
        st.session_state["run"] = asked if asked in runs else best.id
        if asked and asked not in runs:
            st.warning(f"There is no run “{asked}” here any more; this is {st.session_state['run']}.")
    chosen = st.selectbox("Run", list(runs), key="run", on_change=remember)
    return runs[chosen]


def show_published(found: Results) -> None:
    """List every published figure, also those that no run here reproduces."""
    figures = list(found.published.values())
    if not figures:
        return
    st.space("small")
    with st.expander(f"All {len(figures)} published figures that runs are compared with"):
        st.dataframe(
            {
                "System": [figure.system for figure in figures],
                "Corpora": [comparison.corpora_names(figure.corpora) for figure in figures],
                "UA": [figure.metrics.get("UA") for figure in figures],
                "WA": [figure.metrics.get("WA") for figure in figures],
                "F1": [figure.metrics.get("macro_f1") for figure in figures],
                "Protocol": [figure.protocol for figure in figures],
                "In": [comparison.source(figure) for figure in figures],
                "Note": [figure.note for figure in figures],
            },
            hide_index=True,
            height=420,
            alt="Published figures with their protocols",
        )


def show_not_run(found: Results) -> None:
    """List the experiments that the project describes and that were not run, with what it takes to run them."""
    waiting, problems = not_run.read(PROJECT / "configs", {run.id for run in found.runs})
    for problem in problems:
        st.warning(problem, icon=":material/draft:")
    if not waiting:
        return
    count = "One experiment was" if len(waiting) == 1 else f"{len(waiting)} experiments were"
    with st.expander(f"{count} not run here"):
        st.dataframe(
            {
                "Not run here": [one.name for one in waiting],
                "It takes": [one.hardware for one in waiting],
                "Command": [one.command for one in waiting],
                "Repeats": [
                    comparison.source(found.published[one.published]) if one.published in found.published else ""
                    for one in waiting
                ],
            },
            hide_index=True,
            alt="Experiments without a result, each with its command",
        )


def show_corpora(description: Description) -> None:
    """Draw how many clips of each emotion there are, and how the emotions differ in two simple measures."""
    st.space("small")
    st.header("What it was trained and tested on", anchor=False)
    st.subheader("Clips by emotion and corpus", anchor=False)
    emotions = description.emotions
    counts = {
        name: [contents.by_emotion.get(one, 0) for one in emotions] for name, contents in description.corpora.items()
    }
    told = ", ".join(f"{one} {sum(found[i] for found in counts.values())}" for i, one in enumerate(emotions))
    draw(corpus_charts.distribution(description.corpora, emotions), f"Clips by emotion: {told}", "distribution")
    lost = f" {description.unreadable} files could not be read." if description.unreadable else ""
    size = "; ".join(
        f"{CORPORA.get(name, name)}: {contents.clips:,} clips, {contents.speakers} voices, {contents.hours:.1f} h"
        for name, contents in description.corpora.items()
    )
    st.html(theme.line("quiet", f"{size}.{lost}"))
    as_table({"Emotion": [one.capitalize() for one in emotions]} | {CORPORA.get(k, k): v for k, v in counts.items()})
    st.subheader("How emotions differ on average", anchor=False)
    names = [name for name, means in description.means.items() if any(means.values())]
    if not names:
        st.html(theme.line("quiet", "Nothing was measured of the clips."))
        return
    of = st.segmented_control(
        "Corpus", names, default=names[0], required=True, key="means", label_visibility="collapsed",
        format_func=lambda name: CORPORA.get(name, "All corpora" if name == "all" else name),
    )  # fmt: skip
    means = description.means[of]
    for place, quantity, title in zip(
        st.columns(2, gap="large"), corpora.QUANTITIES, ("Zero-crossing rate", "Spectral centroid"), strict=True
    ):
        with place:
            st.html(theme.line("caption", title))
            told = ", ".join(f"{label} {spread.mean:.4g}" for label, spread in means[quantity].items())
            draw(corpus_charts.class_means(means[quantity], quantity), f"{title} by emotion: {told}", quantity)
            as_table(
                {
                    "Emotion": [label.capitalize() for label in means[quantity]],
                    "Mean": [f"{spread.mean:.4g}" for spread in means[quantity].values()],
                    "Deviation": [f"{spread.std:.3g}" for spread in means[quantity].values()],
                }
            )
    st.html(
        theme.line(
            "quiet",
            "Mean of an emotion's clips, with the deviation between clips. A corpus's own bandwidth moves both "
            "measures more than an emotion does: compare within a corpus.",
        )
    )


def show_augmentations(description: Description) -> None:
    """Draw one clip and what each augmentation makes of it."""
    if description.original is None or not description.recipes:
        return
    st.space("small")
    st.header("What augmentation does to a clip", anchor=False)
    names = list(description.recipes)
    first = "gomes" if "gomes" in names else names[0]
    recipe = st.segmented_control(
        "Recipe", names, default=first, required=True, key="recipe", label_visibility="collapsed",
        format_func=lambda name: RECIPES.get(name, name),
    )  # fmt: skip
    pictures = {"original": description.original} | dict(description.recipes[recipe])
    longest, peak = (max(getattr(one, key) for one in pictures.values()) for key in ("seconds", "peak"))
    places: list[DeltaGenerator] = []
    for name, picture in pictures.items():
        if not places:
            places = list(st.columns(2, gap="large"))
        title = corpus_charts.NAMES.get(name, name)
        with places.pop(0):
            st.html(theme.line("caption", title))
            told = f"{title}: waveform and mel spectrogram, {wording.seconds(picture.seconds)}, peak {picture.peak:.2f}"
            draw(corpus_charts.augmented(picture, longest, peak), told, f"augmented-{recipe}-{name}")
    st.html(
        theme.line("quiet", f"{description.clip}: outline of the waveform above its mel spectrogram, all in one scale.")
    )
    as_table(
        {
            "Copy": [corpus_charts.NAMES.get(name, name) for name in pictures],
            "Seconds": [f"{picture.seconds:.2f}" for picture in pictures.values()],
            "Peak": [f"{picture.peak:.2f}" for picture in pictures.values()],
            "Silence in the spectrogram": [wording.percent(picture.silence) for picture in pictures.values()],
        }
    )


session.enter()
results_page()
