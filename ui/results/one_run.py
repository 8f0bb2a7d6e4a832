"""The part of the results page that shows one run: its figures, what it takes for what, and how it was made."""

from __future__ import annotations

import streamlit as st

from ser_engine.data.degrade import TITLES
from ui import theme
from ui.panels import as_table, draw, shown
from ui.results import charts, comparison, confidence, run_files
from ui.results.run_files import History, Published, Results, Run
from ui.wording import CORPORA


def show(found: Results, run: Run) -> None:
    """Show a run of those that were found."""
    paper = found.published.get(run.published)
    with st.container(key="run-title", gap="xsmall"):
        st.html(theme.line("eyebrow", f"{comparison.voices(run)} · {run.protocol}"))
        st.subheader(comparison.model_name(run), anchor=False)
        st.html(theme.line("quiet", f"{comparison.features_name(run)} · {comparison.corpora_names(run.corpora)}"))
    if run.note:
        st.html(theme.line("finding", run.note))
    for problem in run.problems:
        st.warning(problem, icon=":material/draft:")
    st.html(theme.facts(comparison.facts(run)))
    if paper is not None:
        show_beside(run, paper)
    left, right = st.columns(2, gap="large")
    with left:
        show_confusion(run)
    with right:
        show_classes(run, paper)
    confidence.show(run)
    show_groups(run)
    show_conditions(run)
    show_corpus_probe(run)
    show_learning(run)
    show_audit(run)
    show_config(run)


def show_beside(run: Run, paper: Published) -> None:
    """Set the paper's figure beside the measured one, both with their protocol."""
    st.subheader("Beside the paper", anchor=False)
    names = {"UA": "UA", "WA": "WA", "macro_f1": "F1"}
    keys = [key for key in names if key in paper.metrics or key in run.metrics]
    theirs = {key: f"{paper.metrics[key]:.1f}" + " *" * (key in paper.derived) for key in keys if key in paper.metrics}
    ours = (comparison.model_name(run), run.protocol, comparison.corpora_names(run.corpora))
    reported = (paper.system, paper.protocol, comparison.corpora_names(paper.corpora))
    st.table(
        {
            "": ["System", *(names[key] for key in keys), "Protocol", "Corpora"],
            "Measured here": [ours[0], *(shown(run.metrics.get(key)) for key in keys), *ours[1:]],
            f"In {comparison.source(paper)}": [reported[0], *(theirs.get(key, "–") for key in keys), *reported[1:]],
        },
        hide_index=True,
    )
    notes = ["* follows from the paper's table, which does not print it."] if paper.derived else []
    st.html(theme.line("quiet", " ".join(filter(None, (paper.note, *notes)))))


def show_confusion(run: Run) -> None:
    """Draw what was taken for what."""
    st.subheader("What was taken for what", anchor=False)
    if not run.confusion:
        st.html(theme.line("quiet", "This run has no confusion matrix."))
        return
    draw(charts.confusion(run), comparison.confusions(run), "confusion")
    st.html(theme.line("quiet", "Rows: what was meant. Columns: what was heard. Per cent of the row's clips."))
    cells = {label: [row[i] for row in run.confusion] for i, label in enumerate(run.labels)}
    as_table({"Meant": run.labels, **cells})


def show_classes(run: Run, paper: Published | None) -> None:
    """Draw how well each emotion is found."""
    st.subheader("Emotion by emotion", anchor=False)
    if not run.per_class:
        st.html(theme.line("quiet", "This run has no figures by emotion."))
        return
    told = ", ".join(f"{name} {shown(scores.get('recall'))}" for name, scores in run.per_class.items())
    draw(charts.per_class(run, paper), f"Recall by emotion, in per cent: {told}", "per-class")
    signs = [("●", "recall: found among those there were"), ("○", "precision: right among those it named")]
    if paper is not None and paper.per_class:
        signs.append(("◇", "the paper's recall"))
    st.html(theme.legend(signs))
    columns = {"Emotion": list(run.per_class)}
    for key in ("precision", "recall", "f1"):
        columns[key.capitalize()] = [comparison.spread(scores, key) for scores in run.per_class.values()]
    columns["Clips"] = [f"{scores.get('support', 0):.0f}" for scores in run.per_class.values()]
    as_table(columns)


def show_groups(run: Run) -> None:
    """Draw how far the speakers are apart, and name corpora and genders."""
    st.subheader("Speaker by speaker", anchor=False)
    by_speaker = {name: scores["UA"] for name, scores in run.by_speaker.items() if "UA" in scores}
    if by_speaker:
        ranked = sorted(by_speaker, key=by_speaker.__getitem__)
        told = f"{len(ranked)} speakers, from {by_speaker[ranked[0]]:.0f}% ({ranked[0]}) to "
        told += f"{by_speaker[ranked[-1]]:.0f}% ({ranked[-1]})"
        draw(charts.speakers(run), f"UA of {told}", "speakers")
        st.html(theme.line("quiet", f"{told}. The stroke is the median of a corpus."))
        with st.expander("As a table"):
            st.dataframe(
                {
                    "Speaker": ranked,
                    "UA": [by_speaker[name] for name in ranked],
                    "Clips": [run.by_speaker[name].get("clips") for name in ranked],
                },
                hide_index=True,
                height=300,
                alt="All speakers, the hardest first",
            )
    else:
        st.html(theme.line("quiet", "This run has no figures by speaker."))
    groups = {CORPORA.get(name, name): scores for name, scores in run.by_corpus.items()}
    groups |= {name.capitalize(): scores for name, scores in run.by_gender.items()}
    if groups:
        st.table(
            {"": list(groups)}
            | {key: [shown(scores.get(key)) for scores in groups.values()] for key in ("UA", "WA")}
            | {"Clips": [f"{scores.get('clips', 0):,.0f}" for scores in groups.values()]},
            hide_index=True,
        )


def show_conditions(run: Run) -> None:
    """Show what is left where the same clips are heard worse; nothing of a run that did not try."""
    if not run.conditions:
        return
    st.subheader("Heard worse", anchor=False)
    columns = {"UA": "UA", "WA": "WA", "lost": "Points of UA lost"}
    st.table(
        {"The same clips": [TITLES.get(name, name) for name in run.conditions]}
        | {title: [shown(row.get(key)) for row in run.conditions.values()] for key, title in columns.items()},
        hide_index=True,
    )


def show_corpus_probe(run: Run) -> None:
    """Say how well the corpora can be told apart; nothing of a run that did not ask."""
    found = run.corpus_probe
    if len(found) < len(run_files.PROBED):
        return
    st.subheader("What else it hears", anchor=False)
    st.html(
        theme.line(
            "quiet",
            f"Which corpus a stranger's clip is from, a linear probe names in {found['encoder']:.1f} of 100 from the "
            f"encoder's statistics and in {found['model']:.1f} from what the model makes of them; guessing, in "
            f"{found['chance']:.1f}. What tells corpora apart, such as bandwidth, can pass for emotion.",
        )
    )


def show_learning(run: Run) -> None:
    """Draw the learning curves, or say why there are none."""
    st.subheader("Learning", anchor=False)
    history = run_files.read_history(run.id, [run.path.with_name("history.jsonl")])
    if history.problem:
        st.warning(history.problem, icon=":material/draft:")
    elif not history.curves:
        st.html(theme.line("quiet", "No learning curves: this system does not learn in epochs, or kept no history."))
    draw_curves(history, "learning")


def draw_curves(history: History, key: str) -> None:
    """Draw every quantity of a history over its epochs; `key` tells these charts from others on the page."""
    for quantity, points in history.curves.items():
        name = quantity.replace("_", " ")
        told = f"{name} by epoch, {history.trainings} trainings: from {points[0][1]:.3g} to {points[-1][1]:.3g}"
        draw(charts.learning_curve(history, quantity), told, f"{key}-{quantity}")
        st.html(theme.line("quiet", f"Mean {name} of {history.trainings} trainings; shaded, lowest to highest."))
        as_table(
            {
                "Epoch": [point[0] for point in points],
                **{
                    title: [f"{point[i]:.4f}" for point in points]
                    for i, title in enumerate(("Mean", "Lowest", "Highest"), start=1)
                },
            }
        )


def show_audit(run: Run) -> None:
    """Show what the audit of the split found."""
    st.subheader("Audit of the split", anchor=False)
    if run.audit is None:
        st.html(theme.line("quiet", "This run was made before runs were audited, or its audit is missing."))
        return
    told, facts = comparison.audit(run.audit)
    for severity, sentence in told:
        st.html(theme.finding(severity, sentence))
    if not told:
        st.html(theme.line("quiet", "Nothing that training and test should not share was found."))
    if facts:
        st.html(theme.facts(facts))


def show_config(run: Run) -> None:
    """Show how the run was made, and offer its file."""
    with st.expander("How it was made"):
        entries = {key: value for key, value in run.config.items() if value not in ("", None, [], (), {})}
        if entries:
            st.table({"Setting": list(entries), "Value": [str(value) for value in entries.values()]}, hide_index=True)
        else:
            st.html(theme.line("quiet", "This run kept no configuration."))
    st.download_button(
        "Download this run as JSON",
        lambda: run.path.read_bytes(),
        file_name=f"{run.id}.json",
        mime="application/json",
        on_click="ignore",
        icon=":material/download:",
    )
