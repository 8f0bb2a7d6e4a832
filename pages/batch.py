"""Batch: many recordings at once, by dropping them or by choosing a folder of the server; a link finds them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.batch import open_output, read_plan
from ser_engine.batch.report import write_report, write_table
from ser_engine.errors import SerError
from ui import engine, panels, session, theme, wording
from ui.batch import charts, sources, table
from ui.batch.jobs import Job, Jobs
from ui.listen import model_choice
from ui.panels import as_table, download, draw, note, section

if TYPE_CHECKING:
    import pandas as pd

    from ser_engine import Settings

# How often the page looks at the progress. (A comment: Streamlit prints a string that stands alone.)
POLL_S = 1.0
HELP = {
    "stopped": "It was stopped. What has been analyzed is kept.",
    "interrupted": "The server ended in the middle of it. What has been analyzed is kept.",
}


def batch_page() -> None:
    """Draw the page: what to analyze or, where the address names a batch, its progress and its rows."""
    try:
        settings = engine.analyzer("").settings
        jobs = all_jobs()
        job = find(jobs, settings)
    except SerError as error:
        st.title("Many recordings", anchor=False)
        st.error(wording.verbatim(str(error)))
        return
    if job is None:
        ask(jobs, settings)
    else:
        show(jobs, job, settings)


@st.cache_resource(show_spinner=False)
def all_jobs() -> Jobs:
    """Return the jobs that all sessions share."""
    settings = engine.analyzer("").settings
    return Jobs(settings.batch_results, settings.batch_days)


def find(jobs: Jobs, settings: Settings) -> Job | None:
    """Return the batch that the address names; None where it names none. Raise SerError where there is no such one."""
    if id := st.query_params.get("batch"):
        if job := jobs.find(id):
            return job
        st.query_params.clear()
        st.warning("There is no such batch: its link is incomplete, or it was discarded.", icon=":material/link_off:")
    if (name := st.query_params.get("results")) and settings.batch_sources:
        return Job(sources.resolve_inside(Path(settings.batch_sources), name))
    return None


def ask(jobs: Jobs, settings: Settings) -> None:
    """Ask for files or for a folder, and for what to do with them."""
    st.title("Many recordings", anchor=False)
    st.html(
        theme.line(
            "lead",
            "Drop many recordings, or choose a folder of the server: each gets a row with its emotion, its transcript "
            "and what is wrong with it. The work goes on when this page is closed, and its link finds it again.",
        )
    )
    root = Path(settings.batch_sources) if settings.batch_sources else None
    folders, outputs = sources.list_folders(root) if root else ([], [])
    with st.container(key="input"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.header("Drop recordings", anchor=False)
            uploads = st.file_uploader(
                "Drop recordings",
                accept_multiple_files=True,
                key="batch-upload",
                label_visibility="collapsed",
                max_upload_size=max(1, settings.max_bytes // 2**20),
            )
            note(f"They stay on this server for {settings.batch_days:g} days, or until you discard the batch.")
        with right:
            st.header("Or choose a folder", anchor=False)
            folder = choose_folder(root, folders)
    state = session.current()
    model_choice.choose(state)
    transcribe = st.checkbox("With transcripts", settings.transcribe, help="Without them, a batch is much faster.")
    if st.button("Start", type="primary", disabled=not uploads and folder is None):
        job = jobs.create()
        chosen = [sources.save_uploads(uploads, job.uploads)] if uploads else []
        chosen += [folder] if folder else []
        own = replace(engine.analyzer(state.model).settings, words=False, transcribe=transcribe)
        jobs.start(job, chosen, own)
        st.session_state.setdefault("batches", []).append(job.id)
        st.query_params["batch"] = job.id
        st.rerun()
    offer_earlier(jobs, outputs)


def choose_folder(root: Path | None, folders: Sequence[str]) -> Path | None:
    """Ask for a folder below the one that the operator offers."""
    if root is None:
        note("This server offers no folders. Whoever runs it sets SER_BATCH_SOURCES to offer those below one.")
        return None
    name = st.selectbox("Folder", folders, index=None, placeholder="A folder", label_visibility="collapsed")
    note("All recordings in it are analyzed, and those in the folders below it.")
    return None if name is None else sources.resolve_inside(root, name)


def offer_earlier(jobs: Jobs, outputs: Sequence[str]) -> None:
    """Offer the batches that this tab started, and results in the folders of the server."""
    own = [job for id in st.session_state.get("batches", ()) if (job := jobs.find(id))]
    if not own and not outputs:
        return
    section("Earlier batches")
    for job in own:
        done = job.progress.done if job.progress else 0
        if st.button(f"{counted(done)}, {job.state}", key=f"open-{job.id}", icon=":material/folder_open:"):
            st.query_params["batch"] = job.id
            st.rerun()
    if outputs:
        name = st.selectbox("Results on the server", outputs, index=None, placeholder="Results of an earlier batch")
        if name is not None:
            st.query_params["results"] = name
            st.rerun()


def show(jobs: Jobs, job: Job, settings: Settings) -> None:
    """Show a batch: its progress, its rows, the chosen one, charts and downloads."""
    st.title("Many recordings", anchor=False)
    st.fragment(follow, run_every=POLL_S if job.state in ("waiting", "running") else None)(jobs, job)
    offer_actions(jobs, job, settings)
    try:
        rows = table.read_rows(job.out)
    except SerError:  # it has not begun
        return
    if rows.empty:
        return
    labels = read_plan(job.out).labels
    show_rows(rows, labels, job, settings)
    show_charts(rows, labels)
    show_downloads(job)


def follow(jobs: Jobs, job: Job) -> None:
    """Draw the progress as it is now; rerun the whole page when the batch begins or ends, or has more rows."""
    before = st.session_state.get("batch-drawn")
    progress = job.progress
    with st.container(key="batch-progress"):
        show_progress(jobs, job)
    # The rows are drawn again while they arrive, though not at every look.
    done = progress.done if progress else 0
    now = (job.id, job.state, done if done < 20 else done // max(20, done // 10))
    st.session_state["batch-drawn"] = now
    if before is not None and before != now:
        st.rerun()


def show_progress(jobs: Jobs, job: Job) -> None:
    """Show how far a batch is, in a bar and a sentence."""
    progress, state = job.progress, job.state
    if state == "waiting":
        before = jobs.before(job)
        st.progress(0.0, f"Waits for {wording.count(before)} other {'batch' if before == 1 else 'batches'}")
        return
    if progress is None:
        st.progress(0.0, "Looking for recordings")
        return
    share = progress.done / progress.total if progress.total else 1.0 if state == "finished" else 0.0
    st.progress(min(share, 1.0), describe(job))
    if state == "failed":
        st.error(wording.verbatim(progress.reason))
    elif state in HELP:
        st.warning(progress.reason or HELP[state])


def describe(job: Job) -> str:
    """Return how far a batch is in a line."""
    progress = job.progress
    if progress is None:
        return ""
    of = f" of {progress.total:,}" if progress.total is not None else ""
    parts = [f"{progress.done:,}{of} recordings"]
    if progress.failed:
        parts.append(f"{progress.failed:,} without an answer")
    if progress.skipped:
        parts.append(f"{progress.skipped:,} other file{'' if progress.skipped == 1 else 's'} skipped")
    if job.state == "running":
        if progress.rate:
            parts.append(f"{progress.rate:.1f} a second")
        if progress.eta_s is not None:
            parts.append(f"about {wording.seconds(max(1.0, progress.eta_s))} left")
    return " · ".join(parts)


def offer_actions(jobs: Jobs, job: Job, settings: Settings) -> None:
    """Offer to cancel, continue or discard a batch, and to go back."""
    with st.container(horizontal=True):
        if job.id and job.active and not job.stop.is_set():
            st.button("Cancel", icon=":material/stop:", on_click=jobs.cancel, args=(job,))
        elif job.active:
            note("What is under way is being finished.")
        if job.id and job.state in ("stopped", "failed", "interrupted"):
            st.button(
                "Continue", icon=":material/play_arrow:", type="primary", on_click=jobs.resume, args=(job, settings)
            )
        if job.id:
            st.button("Discard", icon=":material/delete:", type="tertiary", on_click=discard, args=(jobs, job))
        st.button("Another batch", type="tertiary", on_click=st.query_params.clear)
    if job.id:
        note(
            f"The address of this page is the link to this batch: whoever has it sees the results and the recordings. "
            f"It works for {settings.batch_days:g} days, or until you discard the batch."
        )


def discard(jobs: Jobs, job: Job) -> None:
    """Remove a batch with its recordings."""
    jobs.remove(job)
    st.query_params.clear()


def show_rows(rows: pd.DataFrame, labels: tuple[str, ...], job: Job, settings: Settings) -> None:
    """Show the table of recordings with its filters, and the chosen one."""
    section("Recordings")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input("Words in names and transcripts", key="batch-words", placeholder="Search", width=260)
        chosen = st.multiselect("Emotions", labels, format_func=wording.name, key="batch-labels", width=320)
        kind = st.segmented_control("Rows", table.KINDS, default=table.ALL, required=True, key="batch-kind")
    shown = table.select(rows, words, chosen, kind)
    event = st.dataframe(
        table.arrange(shown.head(table.SHOWN)),
        hide_index=True,
        key=f"batch-rows-{words}-{chosen}-{kind}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "name": st.column_config.TextColumn("Recording", pinned=True, width=210),
            "emotion": st.column_config.TextColumn("Emotion", width=130),
            "confidence": st.column_config.ProgressColumn("Probability", min_value=0, max_value=1, format="percent"),
            "duration_s": st.column_config.NumberColumn("Seconds", format="%.1f", width=80),
            "language": st.column_config.TextColumn("Language", width=80),
            "text": st.column_config.TextColumn("Transcript or problem", width=420),
        },
    )
    if len(shown) > table.SHOWN:
        note(f"The first {table.SHOWN:,} of {counted(len(shown))}; the filters find the others.")
    else:
        note(f"{counted(len(shown))}. Mark one to listen to it.")
    if picked := event.selection.rows:
        show_recording(shown.iloc[picked[0]], job, settings)


def show_recording(row: pd.Series, job: Job, settings: Settings) -> None:
    """Play a recording, and offer its full answer on the first page."""
    name, transcript, error = (
        str(row[key]) if isinstance(row[key], str) else "" for key in ("name", "transcript", "error")
    )
    st.subheader(wording.verbatim(name), anchor=False)
    if transcript:
        st.markdown(wording.verbatim(transcript))
    if error:
        note(error)
    data = read_sound(str(row["file"]), job, settings)
    if data is None:
        note("Its sound is not on this server any more, or not where this page may read.")
        return
    st.audio(data)
    if not error and st.button("Open full answer", icon=":material/open_in_new:"):
        session.current().give(session.Recording(data, name))
        st.switch_page("pages/listen.py")


def read_sound(file: str, job: Job, settings: Settings) -> bytes | None:
    """Return the bytes of a recording where they were dropped here or lie below the folder that is offered."""
    roots = [job.uploads] if job.id else []
    roots += [Path(settings.batch_sources)] if settings.batch_sources else []
    for root in roots:
        try:
            path = sources.resolve_inside(root, file)
            return path.read_bytes() if path.stat().st_size <= settings.max_bytes else None
        except (SerError, OSError):
            continue
    return None


def show_charts(rows: pd.DataFrame, labels: tuple[str, ...]) -> None:
    """Draw how often each emotion was the answer, and count the errors."""
    counts = table.count_labels(rows, labels)
    if any(map(sum, counts.values())):
        section("Emotions", "How many recordings have each emotion as their answer; in gray those that are not sure.")
        alt = ", ".join(f"{label} {sure + unsure}" for label, (sure, unsure) in counts.items())
        draw(charts.emotion_counts(counts), f"Recordings by emotion: {alt}", "batch-emotions")
        names = [wording.name(label) for label in counts]
        sure, unsure = zip(*counts.values(), strict=True)
        as_table({"Emotion": names, "Sure": sure, "Not sure": unsure})
    if errors := table.count_errors(rows):
        section("Recordings without an answer", "By the kind of problem; its sentence is in the row.")
        panels.table({"Reason": list(errors), "Recordings": list(errors.values())})


def show_downloads(job: Job) -> None:
    """Offer the rows as files."""
    section("Downloads")
    with st.container(horizontal=True):
        download("CSV", lambda: made(job, write_table, ".csv"), "emotions.csv", "text/csv")
        download(
            "Parquet", lambda: made(job, write_parquet, ".parquet"), "emotions.parquet", "application/octet-stream"
        )
        download("Report", lambda: made(job, write_report, ".html"), "report.html", "text/html")


def write_parquet(out: Path, target: Path) -> None:
    """Write the rows of all parts into one file."""
    import pyarrow.parquet as pq

    recordings = open_output(out).recordings
    with pq.ParquetWriter(target, recordings.schema, compression="zstd") as writer:
        for batch in recordings.to_batches():
            writer.write_batch(batch)


def made(job: Job, write: Callable[[Path, Path], object], suffix: str) -> bytes:
    """Return what `write(out, target)` writes."""
    with TemporaryDirectory() as folder:
        target = Path(folder, f"batch{suffix}")
        write(job.out, target)
        return target.read_bytes()


def counted(number: int) -> str:
    """Return a number of recordings in words."""
    return f"{number:,} recording{'' if number == 1 else 's'}"


session.enter()
batch_page()
