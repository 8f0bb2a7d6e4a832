"""The part of the results page that shows one run: its figures, its errors, and its configuration."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ser_engine.data.degrade import TITLES
from ser_engine.evaluation.published import PublishedFigure
from ser_engine.evaluation.record import FILE, HISTORY, LearningCurves, RunRecord, figures, read_curves
from ui import theme
from ui.panels import as_table, download, draw, note, table, written
from ui.results import calibration, charts, comparison, confusion
from ui.wording import CORPORA


def show(run: RunRecord, paper: PublishedFigure | None, folder: Path) -> None:
    """Show a run of the results folder, compared with the figure of a paper."""
    show_title(run)
    if paper is not None:
        show_paper(run, paper)
    show_errors(run, paper)
    calibration.show(run)
    show_groups(run)
    show_degradations(run)
    show_baselines(run)
    show_elsewhere(run)
    show_corpus_probe(run)
    show_learning(run, folder)
    show_audit(run)
    show_config(run, folder)


def summarize(run: RunRecord) -> None:
    """Show what a run says about recordings of other people: its errors, degraded audio, other corpora."""
    show_title(run)
    show_errors(run, None)
    show_degradations(run)
    show_elsewhere(run)


def show_title(run: RunRecord) -> None:
    """Show what was measured, and its main figures."""
    with st.container(key="run-title", gap="xsmall"):
        st.html(theme.line("eyebrow", f"{comparison.speakers(run)} speakers · {comparison.protocol(run)}"))
        st.subheader(comparison.model_name(run), anchor=False)
        note(f"{comparison.features_name(run)} · {comparison.corpora_names(run.corpora)}")
    if run.note:
        st.html(theme.line("finding", run.note))
    for problem in run.problems:
        st.warning(problem, icon=":material/draft:")
    st.html(theme.facts(comparison.facts(run)))


def show_errors(run: RunRecord, paper: PublishedFigure | None) -> None:
    """Draw the confusion matrix next to the figures of each emotion."""
    left, right = st.columns(2, gap="large")
    with left:
        show_confusion(run)
    with right:
        show_classes(run, paper)


def show_paper(run: RunRecord, paper: PublishedFigure) -> None:
    """Compare the run with the paper's figure, both with their protocol."""
    st.subheader("Compared with the paper", anchor=False)
    names = {"UA": "UA", "WA": "WA", "macro_f1": "F1"}
    keys = [key for key in names if key in paper.metrics or key in run.metrics]
    theirs = {key: f"{paper.metrics[key]:.1f}" + " *" * (key in paper.derived) for key in keys if key in paper.metrics}
    ours = (comparison.protocol(run), comparison.corpora_names(run.corpora))
    reported = (paper.protocol, comparison.corpora_names(paper.corpora))
    table(
        {
            "": ["System", *(names[key] for key in keys), "Protocol", "Corpora"],
            "Measured here": [comparison.model_name(run), *(run.metrics.get(key) for key in keys), *ours],
            comparison.source(paper): [paper.system, *(theirs.get(key) for key in keys), *reported],
        }
    )
    notes = ["* Not printed in the paper, but implied by its table."] if paper.derived else []
    note(" ".join(filter(None, (paper.note, *notes))))


def show_confusion(run: RunRecord) -> None:
    """Draw the confusion matrix."""
    st.subheader("Confusion matrix", anchor=False)
    if not run.confusion:
        note("This run has no confusion matrix.")
        return
    confusion.show(run.confusion, run.labels, "clips", "confusion")
    note("Rows: true emotion. Columns: predicted emotion. In percent of the row's clips.")


def show_classes(run: RunRecord, paper: PublishedFigure | None) -> None:
    """Draw precision and recall of each emotion."""
    st.subheader("By emotion", anchor=False)
    if not run.per_class:
        note("This run has no figures by emotion.")
        return
    alt = ", ".join(f"{name} {written(scores.get('recall'))}" for name, scores in run.per_class.items())
    draw(charts.per_class(run, paper), f"Recall by emotion, in percent: {alt}", "per-class")
    signs = [
        ("●", "recall: share of an emotion's clips that are recognized"),
        ("○", "precision: share of predictions that are right"),
    ]
    if paper is not None and paper.per_class:
        signs.append(("◇", "recall in the paper"))
    st.html(theme.legend(signs))
    columns = {"Emotion": list(run.per_class)}
    for key in ("precision", "recall", "f1"):
        columns[key.capitalize()] = [comparison.spread(scores, key) for scores in run.per_class.values()]
    columns["Clips"] = [f"{scores.get('support', 0):.0f}" for scores in run.per_class.values()]
    as_table(columns)


def show_groups(run: RunRecord) -> None:
    """Draw the accuracy by speaker, and list corpora and genders."""
    st.subheader("By speaker", anchor=False)
    by_speaker = {name: scores["UA"] for name, scores in run.by_speaker.items() if "UA" in scores}
    if by_speaker:
        ranked = sorted(by_speaker, key=by_speaker.__getitem__)
        extent = f"{len(ranked)} speakers, from {by_speaker[ranked[0]]:.0f}% ({ranked[0]}) to "
        extent += f"{by_speaker[ranked[-1]]:.0f}% ({ranked[-1]})"
        draw(charts.speakers(run), f"UA of {extent}", "speakers")
        note(f"{extent}. The vertical stroke is the median of a corpus.")
        clips = [f"{run.by_speaker[name].get('clips', 0):.0f}" for name in ranked]
        as_table({"Speaker": ranked, "UA": [by_speaker[name] for name in ranked], "Clips": clips}, height=300)
    else:
        note("This run has no figures by speaker.")
    groups = {CORPORA.get(name, name): scores for name, scores in run.by_corpus.items()}
    groups |= {name.capitalize(): scores for name, scores in run.by_gender.items()}
    if groups:
        rows = {key: [scores.get(key) for scores in groups.values()] for key in ("UA", "WA")}
        table({"": list(groups), **rows, "Clips": [f"{row.get('clips', 0):,.0f}" for row in groups.values()]})


def show_degradations(run: RunRecord) -> None:
    """Show the accuracy on degraded audio; nothing of a run that did not measure it."""
    if not run.degradations:
        return
    st.subheader("Degraded audio", anchor=False)
    columns = {"UA": "UA", "WA": "WA", "lost": "UA lost, in points"}
    part = any("clips" in row for row in run.degradations.values())
    table(
        {
            "A random part of the clips" if part else "The same clips": [
                TITLES.get(name, name) for name in run.degradations
            ]
        }
        | {title: [row.get(key) for row in run.degradations.values()] for key, title in columns.items()}
    )


def show_baselines(run: RunRecord) -> None:
    """Show what it gains to know a speaker's calm voice; nothing of a run that did not measure it."""
    measured = run.details.get("baselines")
    rows = [
        (f"{seconds} s", name, figures(row))
        for seconds, groups in (measured.items() if isinstance(measured, dict) else ())
        for name, row in (groups.items() if isinstance(groups, dict) else ())
        if "UA" in figures(row)
    ]
    if not rows:
        return
    st.subheader("A speaker's baseline", anchor=False)
    table(
        {
            "Calm speech": [seconds for seconds, _, _ in rows],
            "Tested on": [CORPORA.get(name, "All corpora") for _, name, _ in rows],
            "UA": [row.get("UA") for *_, row in rows],
            "UA without it": [row.get("without") for *_, row in rows],
        }
    )
    note(
        "Each pair is of the same clips, without those that the baseline is of. Speakers have few calm clips: of the "
        "longest baselines, nearly all."
    )


def show_elsewhere(run: RunRecord) -> None:
    """Show the accuracy on corpora, or speakers, that are not in training; nothing of a run without them."""
    rows = {name: figures(row) for name, row in run.external.items() if "UA_among_shared_labels" in figures(row)}
    if not rows:
        return
    st.subheader("Other corpora", anchor=False)
    table(
        {
            "Corpus": [CORPORA.get(name, name) for name in rows],
            "UA, shared emotions": [row["UA_among_shared_labels"] for row in rows.values()],
            "ECE": [row.get("ECE") for row in rows.values()],
            "Clips": [f"{row['clips']:.0f}" if "clips" in row else None for row in rows.values()],
        }
    )


def show_corpus_probe(run: RunRecord) -> None:
    """Show how well the corpora can be told apart; nothing of a run that did not measure it."""
    probe = run.corpus_probe
    if not {"encoder", "model", "chance"} <= set(probe):
        return
    st.subheader("Corpus probe", anchor=False)
    note(
        f"A linear probe names the corpus of a clip of an unseen speaker with an accuracy of {probe['encoder']:.1f}% "
        f"from the encoder's statistics and of {probe['model']:.1f}% from the model's representation; chance is "
        f"{probe['chance']:.1f}%. Properties of a corpus, such as its bandwidth, can pass for emotion."
    )


def show_learning(run: RunRecord, folder: Path) -> None:
    """Draw the learning curves, or say why there are none."""
    st.subheader("Learning curves", anchor=False)
    history = show_curves(run, folder, "learning")
    if not history.curves and not history.problem:
        note("No learning curves: this system is not trained in epochs, or has no history.")


def show_curves(run: RunRecord, folder: Path, key: str) -> LearningCurves:
    """Draw the learning curves of a run, say if its history is damaged, and return them."""
    history = read_curves(run.id, [folder / run.id / HISTORY])
    if history.problem:
        st.warning(history.problem, icon=":material/draft:")
    draw_curves(history, key)
    return history


def draw_curves(history: LearningCurves, key: str) -> None:
    """Draw every quantity of a history over its epochs; `key` identifies these charts on the page."""
    for quantity, points in history.curves.items():
        name = quantity.replace("_", " ")
        alt = f"{name} by epoch, {history.trainings} trainings: from {points[0][1]:.3g} to {points[-1][1]:.3g}"
        draw(charts.learning_curve(history, quantity), alt, f"{key}-{quantity}")
        note(f"Mean {name} of {history.trainings} trainings; their range is shaded.")
        columns = zip(("Epoch", "Mean", "Lowest", "Highest"), zip(*points, strict=True), strict=True)
        as_table({title: [f"{value:.4f}" if title != "Epoch" else value for value in side] for title, side in columns})


def show_audit(run: RunRecord) -> None:
    """Show the findings of the audit of the split."""
    st.subheader("Audit of the split", anchor=False)
    if not run.audit:
        note("This run has no audit.")
        return
    entries = run.audit.get("findings")
    findings = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for entry in findings:
        examples = "; ".join(map(str, entry.get("examples") or ())).rstrip(".")
        st.html(
            theme.finding(
                str(entry.get("severity", "note")),
                f"{entry.get('sentence', '')}" + (f" For example: {examples}." if examples else ""),
            )
        )
    if not findings:
        note("Training and test data share nothing that they should not.")
    titles = {"clips": "Clips in all", "tested": "Tested clips", "speakers": "Speakers"}
    counts = figures(run.audit)
    st.html(theme.facts([(title, f"{counts[key]:,.0f}") for key, title in titles.items() if key in counts]))


def show_config(run: RunRecord, folder: Path) -> None:
    """Show the configuration, and offer the record as a file."""
    with st.expander("Configuration"):
        entries = {key: value for key, value in run.config.items() if value not in ("", None, [], (), {})}
        if entries:
            table({"Setting": list(entries), "Value": [str(value) for value in entries.values()]})
        else:
            note("This run has no configuration.")
    name = f"{run.id.replace('/', '-')}.json"
    download("Download this run as JSON", (folder / run.id / FILE).read_bytes, name, "application/json")
