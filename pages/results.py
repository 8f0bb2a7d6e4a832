"""Results: measured runs compared with each other and with the papers. It reads files alone; no model is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.errors import SerError
from ser_engine.settings import PROJECT, Settings
from ui import session, theme, wording
from ui.panels import as_table, download, draw, note, section
from ui.results import (
    charts,
    comparison,
    conversations,
    corpora,
    corpus_charts,
    languages,
    one_run,
    ordinary,
    published_tables,
    text_runs,
    trials,
    unfinished,
)
from ui.wording import CORPORA, PAPERS

if TYPE_CHECKING:
    from ser_engine.evaluation.record import RunRecord
    from ui.results.comparison import Results
    from ui.results.corpora import Description

METRICS = {"UA": "Unweighted accuracy (UA)", "WA": "Weighted accuracy (WA)"}
COLUMNS = {
    "model": st.column_config.TextColumn("Model", pinned=True, width=210),
    "speakers": st.column_config.TextColumn("Test speakers", help="Whether they are in the training data, too"),
    "UA": st.column_config.ProgressColumn(
        "UA", format="%.1f", min_value=0, max_value=100, width=120, help="Mean recall of the emotions, in percent"
    ),
    "interval": st.column_config.TextColumn("95% interval", help="Of UA, by bootstrap over speakers"),
    "WA": st.column_config.NumberColumn("WA", format="%.1f", help="Share of clips that are recognized, in percent"),
    "UA_plus_WA": st.column_config.NumberColumn("UA + WA", format="%.1f"),
    "macro_f1": st.column_config.NumberColumn("F1", format="%.1f", help="Mean F1 of the emotions, in percent"),
    "protocol": st.column_config.TextColumn("Protocol", width=190),
    "published_UA": st.column_config.NumberColumn("Published UA", format="%.1f"),
    "published_WA": st.column_config.NumberColumn("Published WA", format="%.1f"),
    "published_protocol": st.column_config.TextColumn("Published protocol", width=240),
    "published_in": st.column_config.TextColumn("Published in"),
    "features": st.column_config.TextColumn("Features", width=220),
    "corpora": st.column_config.TextColumn("Corpora", width=220),
    "size_mb": st.column_config.NumberColumn("Size", format="%.1f MB"),
    "seconds": st.column_config.NumberColumn("Seconds", format="%.0f", help="Duration of the whole run, all folds"),
    "run": st.column_config.TextColumn("Run", width=260),
}


def results_page() -> None:
    """Draw the page: the main result, and tabs, of which only the open one is drawn; the address names it."""
    try:
        settings = Settings.from_env()
    except SerError as error:
        st.title("Results", anchor=False)
        st.error(str(error))
        return
    results = comparison.read_results(settings.results)
    with st.container(key="finding", gap="xsmall"):
        st.html(theme.line("eyebrow", "Results"))
        st.title(comparison.headline(results), anchor=False)
        st.html(theme.line("lead", comparison.explanation(results)))
    for problem in results.problems:
        st.warning(problem, icon=":material/draft:")
    tabs: dict[str, Callable[[Results, Settings], None]] = {
        "Overview": show_overview,
        "Runs": show_runs,
        "The papers": show_papers,
        "Protocols": show_protocols,
        "Conversations": show_conversations,
        "Corpora": show_corpora,
    }
    # A link to a run from before there were tabs names the run alone.
    first = "Runs" if "run" in st.query_params else "Overview"
    for tab, show in zip(
        st.tabs(list(tabs), default=first, key="tab", bind="query-params"), tabs.values(), strict=True
    ):
        if tab.open:
            with tab:
                show(results, settings)


def show_overview(results: Results, settings: Settings) -> None:
    """Show what to expect of the best model, and how often each calls ordinary talk emotional."""
    if unfinished.find_trainings(settings.cache, time.time()):
        show_training_now(settings.cache)
    if best := comparison.best(results.runs):
        one_run.summarize(best)
    ordinary.show(results.others.get("ordinary", ()))


def show_runs(results: Results, settings: Settings) -> None:
    """Show all runs, one of them in full, and the trials."""
    if results.runs:
        # A link to a run shows it first; a run that is chosen in the table is shown below the table.
        linked = st.session_state.setdefault("linked", bool(st.query_params.get("run")))
        if linked:
            show_run(results, settings.results)
        show_table(results)
        if not linked:
            show_run(results, settings.results)
    trials.show(settings.results)
    text_runs.show(results.others.get("text-emotion", ()), settings.results)
    if others := [run.id for run in results.others.get("transcription", ())]:
        note(f"The results folder also has measurements of transcription: {' and '.join(others)}.")


def show_papers(results: Results, settings: Settings) -> None:
    """List the published figures, and the experiments of the papers that were not run."""
    published_tables.show(results.published, results.runs)
    show_published(results)
    if results.runs:
        show_not_run(results, settings.results)


def show_protocols(results: Results, settings: Settings) -> None:
    """Show what a protocol does to a figure."""
    show_gap(results)
    languages.show(results.runs)


def show_conversations(results: Results, settings: Settings) -> None:
    """Show the measured conversations."""
    conversations.show(results.others.get("conversation", ()), results.published)


def show_corpora(results: Results, settings: Settings) -> None:
    """Describe the corpora and their augmented copies."""
    try:
        description = corpora.read_description(settings.results)
    except SerError as error:
        st.warning(str(error), icon=":material/draft:")
        return
    if description is not None:
        show_clips(description)
        show_augmentations(description)


@st.fragment(run_every="5s")
def show_training_now(cache: Path) -> None:
    """Draw the learning curves of runs in training, again every few seconds."""
    section("Training now")
    for number, training in enumerate(unfinished.find_trainings(cache, time.time())):
        st.subheader(training.name, anchor=False)
        if training.history.problem:
            note("Its history is being written.")
        note(
            f"The last epoch ended {wording.seconds(training.ago_s)} ago. Its figures are preliminary until all folds "
            "are tested."
        )
        one_run.draw_curves(training.history, f"now-{number}")


def show_gap(results: Results) -> None:
    """Draw each system on unseen speakers and under a random protocol."""
    pairs = comparison.gaps(results.runs)
    if not pairs:
        return
    section(
        "The effect of the protocol",
        "The same system on the same corpora, tested on unseen speakers, and on a random part of the clips, whose "
        "speakers are in the training data, too. The difference between the two is not skill.",
    )
    metric = st.segmented_control(
        "Metric", list(METRICS), format_func=METRICS.__getitem__, default="UA", required=True,
        key="metric", label_visibility="collapsed",
    )  # fmt: skip
    alt = "; ".join(comparison.gap_text(gap, metric) for gap in pairs)
    draw(charts.protocol_gap(pairs, results.published, metric), f"{metric} by protocol. {alt}", "gap")
    signs = [("●", "unseen speakers"), ("○", "seen speakers, random split")]
    if any(gap.leaked for gap in pairs):
        signs.append(("✕", "augmented copies of test clips in training (leaky)"))
    if any(results.paper(gap.unseen) for gap in pairs):
        signs.append(("◇", "figure of the paper"))
    st.html(theme.legend(signs))
    rows = [(gap, run) for gap in pairs for run in (gap.unseen, *gap.seen, *gap.leaked)]
    as_table(
        {
            "System": [comparison.label(gap.unseen) for gap, _ in rows],
            "Test speakers": [comparison.speakers(run) for _, run in rows],
            "Protocol": [comparison.protocol(run) for _, run in rows],
            metric: [run.metrics.get(metric) for _, run in rows],
        }
    )


def show_table(results: Results) -> None:
    """Show all runs; a click on a row shows that run."""
    section(
        "All runs",
        "Click a column to sort by it, or a row to see that run. Figures are in percent, next to those of the papers; "
        "each has its protocol.",
    )
    rows = [comparison.row(run, results.paper(run)) for run in results.runs]

    def choose() -> None:
        chosen = st.session_state["runs"].selection.rows
        if chosen and chosen[0] < len(rows):
            st.session_state["run"] = rows[chosen[0]]["run"]
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
        alt=f"{len(rows)} runs with their figures, as in the CSV",
    )
    download("Download the table as CSV", lambda: comparison.to_csv(results), "results.csv", "text/csv")


def remember() -> None:
    """Put the chosen run into the address of the page, so that it can be shared."""
    st.query_params["run"] = st.session_state["run"]


def show_run(results: Results, folder: Path) -> None:
    """Let the person choose a run and show it; at first it is the one in the address, or the best."""
    section("One run")
    runs: dict[str, RunRecord] = {run.id: run for run in results.runs}
    asked = st.query_params.get("run")
    if st.session_state.get("run") not in runs:
        best = comparison.best(results.runs) or results.runs[0]
        st.session_state["run"] = asked if asked in runs else best.id
        if asked and asked not in runs:
            st.warning(f"There is no run “{asked}” any more; this is {st.session_state['run']}.")
    chosen = runs[st.selectbox("Run", list(runs), key="run", on_change=remember)]
    one_run.show(chosen, results.paper(chosen), folder)


def show_published(results: Results) -> None:
    """List every published figure, also those that no run repeats."""
    figures = list(results.published.values())
    if not figures:
        return
    st.space("small")
    with st.expander(f"All {len(figures)} published figures"):
        st.dataframe(
            {
                "System": [figure.system for figure in figures],
                "Corpora": [comparison.corpora_names(figure.corpora) for figure in figures],
                "UA": [figure.metrics.get("UA") for figure in figures],
                "WA": [figure.metrics.get("WA") for figure in figures],
                "F1": [figure.metrics.get("macro_f1") for figure in figures],
                "Protocol": [figure.protocol for figure in figures],
                "Source": [comparison.source(figure) for figure in figures],
                "Note": [figure.note for figure in figures],
            },
            hide_index=True,
            height=420,
            alt="Published figures with their protocols",
        )


def show_not_run(results: Results, folder: Path) -> None:
    """List the experiments without a result."""
    measured = {run.id for run in (*results.runs, *(run for runs in results.others.values() for run in runs))}
    waiting, problems = unfinished.find_not_run(PROJECT / "configs", measured)
    for problem in problems:
        st.warning(problem, icon=":material/draft:")
    if not waiting:
        return
    published = {id: comparison.source(figure) for id, figure in results.published.items()}
    costs = unfinished.read_costs(folder)
    known = [costs.get(experiment.name) for experiment in waiting]
    count = "One experiment" if len(waiting) == 1 else f"{len(waiting)} experiments"
    with st.expander(f"{count} without a result"):
        st.dataframe(
            {
                "Experiment": [experiment.name for experiment in waiting],
                "Memory": [cost and round(cost.memory_gb, 1) for cost in known],
                "Hours": [cost and round(cost.hours, 1) for cost in known],
                "Hardware": [experiment.hardware for experiment in waiting],
                "Command": [experiment.command for experiment in waiting],
                "Repeats": [published.get(experiment.published, "") for experiment in waiting],
            },
            column_config={
                "Memory": st.column_config.NumberColumn(format="%.1f GB", help="At most, as counted by a dry run"),
                "Hours": st.column_config.NumberColumn(format="%.1f", help="Without a GPU, on the cores named below"),
            },
            hide_index=True,
            alt="Experiments without a result, each with its command",
        )
        cores = sorted({cost.cores for cost in costs.values()})
        if cores:
            note(
                f"Memory and hours are what “ser train CONFIG --dry-run” counts, on {cores[0]} cores without a GPU. "
                "Weights come from the Hugging Face hub with SER_ALLOW_DOWNLOAD=1, or from files that you put under "
                "models/encoders/OWNER/NAME; those of VGGish and YAMNet from models/vggish and models/yamnet."
            )


def show_clips(description: Description) -> None:
    """Draw the number of clips of each emotion, and how two acoustic measures differ between emotions."""
    section("Corpora")
    st.subheader("Clips by emotion and corpus", anchor=False)
    emotions = description.emotions
    counts = {
        CORPORA.get(name, name): [contents.by_emotion.get(emotion, 0) for emotion in emotions]
        for name, contents in description.corpora.items()
    }
    totals = zip(*counts.values(), strict=True)
    alt = ", ".join(f"{emotion} {sum(side)}" for emotion, side in zip(emotions, totals, strict=True))
    draw(corpus_charts.distribution(description.corpora, emotions), f"Clips by emotion: {alt}", "distribution")
    sizes = "; ".join(
        f"{CORPORA.get(name, name)}: {contents.clips:,} clips, {contents.speakers} speakers, {contents.hours:.1f} h"
        for name, contents in description.corpora.items()
    )
    note(f"{sizes}." + (f" {description.unreadable} files could not be read." if description.unreadable else ""))
    as_table({"Emotion": [emotion.capitalize() for emotion in emotions], **counts})
    st.subheader("Acoustic differences between emotions", anchor=False)
    names = [name for name, means in description.means.items() if any(means.values())]
    if not names:
        note("Nothing was measured.")
        return
    corpus = st.segmented_control(
        "Corpus", names, default=names[0], required=True, key="means", label_visibility="collapsed",
        format_func=lambda name: CORPORA.get(name, "All corpora" if name == "all" else name),
    )  # fmt: skip
    places = st.columns(2, gap="large")
    for place, (quantity, title) in zip(places, corpora.QUANTITIES.items(), strict=True):
        means = description.means[corpus][quantity]
        with place:
            st.html(theme.line("caption", title))
            alt = ", ".join(f"{label} {average:.4g}" for label, (average, _) in means.items())
            draw(corpus_charts.class_means(means, quantity), f"{title} by emotion: {alt}", quantity)
            as_table(
                {
                    "Emotion": [label.capitalize() for label in means],
                    "Mean": [f"{average:.4g}" for average, _ in means.values()],
                    "Deviation": [f"{deviation:.3g}" for _, deviation in means.values()],
                }
            )
    note(
        "Mean and standard deviation over the clips of an emotion. The bandwidth of a corpus changes both measures "
        "more than an emotion does: compare within a corpus."
    )


def show_augmentations(description: Description) -> None:
    """Draw one clip and its augmented copies."""
    if description.original is None or not description.recipes:
        return
    section("Augmentation")
    names = list(description.recipes)
    recipe = st.segmented_control(
        "Recipe", names, default=names[-1], required=True, key="recipe", label_visibility="collapsed",
        format_func=lambda name: PAPERS.get(name, name),
    )  # fmt: skip
    pictures = {"original": description.original} | dict(description.recipes[recipe])
    titles = [corpus_charts.NAMES.get(name, name) for name in pictures]
    longest, peak = (max(getattr(picture, key) for picture in pictures.values()) for key in ("seconds", "peak"))
    for number, (title, picture) in enumerate(zip(titles, pictures.values(), strict=True)):
        if number % 2 == 0:
            places = st.columns(2, gap="large")
        with places[number % 2]:
            st.html(theme.line("caption", title))
            alt = f"{title}: waveform and mel spectrogram, {wording.seconds(picture.seconds)}, peak {picture.peak:.2f}"
            draw(corpus_charts.augmented(picture, longest, peak), alt, f"augmented-{recipe}-{number}")
    note(f"{description.clip}: outline of the waveform above its mel spectrogram, all on one scale.")
    as_table(
        {
            "Copy": titles,
            "Seconds": [f"{picture.seconds:.2f}" for picture in pictures.values()],
            "Peak": [f"{picture.peak:.2f}" for picture in pictures.values()],
            "Silence in the spectrogram": [wording.percent(picture.silence) for picture in pictures.values()],
        }
    )


session.enter()
results_page()
