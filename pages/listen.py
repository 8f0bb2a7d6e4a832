"""The first page, from top to bottom like the screen: give a recording, see what the engine heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.errors import SerError
from ui import caveats, engine, session, theme, wording
from ui.components.recorder import record
from ui.listen import charts, downloads, modalities, model_choice

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from streamlit.delta_generator import DeltaGenerator

    from ser_engine import Analysis
    from ui.engine import Fetched
    from ui.listen.job import Job, Steps

# How often the page looks at how far an analysis is. (A comment: Streamlit would print a string that stands alone.)
GLANCE_S = 0.1


def listen_page() -> None:
    """Draw the page: title, input, steps, answer."""
    st.title("What does this voice sound like?", anchor=False)
    st.html(
        theme.line(
            "lead",
            "Give it a recording, or three seconds of your own voice: it answers with the probability of each "
            "emotion, beside the words. No other service is asked, and nothing is stored.",
        )
    )
    try:
        engine.analyzer()
    except SerError as error:
        st.error(wording.verbatim(str(error)))
        return
    state = session.current()
    take_recording(state)
    model_choice.choose(state)
    with st.container(key="status"):
        status = st.empty()
    job = state.work(engine.analyzer(state.model))
    if job is not None:
        analyse(state, job, status)
    with status.container():
        show_status(state)
    if state.result is None:
        show_promise(state)
    else:
        show_result(state.result)
    engine.warm_up(state.model)


def take_recording(state: session.Session) -> None:
    """Ask for a file or for three seconds of voice; what is new waits in the session."""
    limit_mb = max(1, engine.analyzer().settings.max_bytes // 2**20)
    with st.container(key="input"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.header("Upload a recording", anchor=False)
            upload = st.file_uploader(
                "Upload a recording", key="upload", label_visibility="collapsed", max_upload_size=limit_mb
            )
            st.html(theme.line("quiet", "WAV, FLAC, Ogg, Opus, MP3, M4A, MP4, WebM: sound with one voice is best."))
        with right:
            st.header("Or record three seconds", anchor=False)
            spoken = record(key="recorder")
    state.notice_upload(upload)
    if spoken:
        state.give(session.Recording(spoken, "Your recording.wav"))


def analyse(state: session.Session, job: Job, status: DeltaGenerator) -> None:
    """Show the steps of an analysis as they go, until it has ended, and keep what has come of it."""
    warming = engine.warm_up(state.model)
    with status.container():
        steps, news = st.empty(), st.empty()
    shown_steps: Steps | None = None
    shown_news: tuple[Fetched | None, str, bool] | None = None
    while True:
        # Looking into the session is also where Streamlit ends a run that another click has made idle.
        session.current()
        so_far = job.steps
        latest = (engine.download().under_way(), engine.fetching(job.engine), not warming.ended.is_set())
        if so_far is not shown_steps:
            steps.html(theme.steps(so_far.times, so_far.running))
        if latest != shown_news:
            show_news(job.recording.name, *latest, news)
        shown_steps, shown_news = so_far, latest
        if job.ended.wait(GLANCE_S):
            break
    engine.download().forget()
    state.finish(job)


def show_news(name: str, fetched: Fetched | None, fetching: str, cold: bool, place: DeltaGenerator) -> None:
    """Say what a person waits for: a download, the models of a page that has just started, or the engine alone."""
    if fetched is not None:
        text = wording.fetching(engine.analyzer().settings.whisper, fetched.done, fetched.total)
        place.progress(fetched.done / fetched.total if fetched.total else 0.0, text)
        return
    if fetching:
        place.html(theme.line("quiet", wording.fetching_model(fetching)))
        return
    waking = " The models are still waking up; this first time takes a little longer." if cold else ""
    place.html(theme.line("quiet", f"Listening to {name}.{waking}"))


def show_status(state: session.Session) -> None:
    """Show, in a place of fixed height, what went wrong or how long the last analysis took."""
    if state.error is not None:
        st.error(wording.verbatim(state.error))
        again = "Try another recording."
        if len(engine.choices()) > 1:
            again = "Try another recording, or another model."
        if state.result is not None:
            again += f" Below is still the answer for {state.result.analysis.file}."
        st.html(theme.line("quiet", again))
    elif state.result is not None:
        seconds = state.result.analysis.seconds
        st.html(theme.steps({stage: took for stage, took in seconds.items() if stage != "total"}))
        st.html(theme.line("quiet", f"Answered in {wording.seconds(seconds['total'])}."))
    else:
        st.html(theme.steps({}))
        st.html(theme.line("quiet", "What happens to a recording, with the time each step takes."))


def show_promise(state: session.Session) -> None:
    """Say, before there is an answer, what it will be."""
    labels = (engine.card(state.model) or {}).get("labels", ())
    each = f"each of {wording.count(len(labels))} {wording.kind(labels)}s" if labels else "each label of the model"
    promises = {
        "The feeling": f"A probability for {each}, and a headline no bolder than they allow.",
        "The words": "What was said, in the language it was said in, for you to correct.",
        "The recording": "To listen to, to look at, and examined: what noise, clipping or haste may have spoiled.",
    }
    with st.container(key="promise"):
        for column, (title, text) in zip(st.columns(3, gap="medium"), promises.items(), strict=True):
            with column:
                st.header(title, anchor=False)
                st.html(theme.line("quiet", text))


def show_result(result: session.Result) -> None:
    """Show the answer: headline, emotions beside words, the course of a long recording, the sound, the limits."""
    take_words(result)
    analysis, heard_by = result.current, f" · {result.analysis.model}" if len(engine.choices()) > 1 else ""
    with st.container(key="headline", gap="xsmall"):
        st.html(theme.line("eyebrow", f"{analysis.file}{heard_by}"))
        answer = (analysis.scores, analysis.threshold)
        st.header(wording.verbatim(wording.headline(*answer)), anchor=False)
        st.html(theme.line("lead", wording.explanation(*answer)))
        if measured := wording.strangers_with(analysis.scores.top, engine.card(result.model)):
            st.html(theme.line("quiet", measured))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show_emotions(result)
    with right, st.container(key="words"):
        show_words(result)
    modalities.show(result)
    if analysis.timeline:
        show_timeline(result)
    picture = show_recording(result)
    show_downloads(result)
    st.space("small")
    caveats.show(engine.card(result.model), analysis.scores.labels)
    # Last, since the first spectrogram of a process has a large library to load: all else is there already.
    with picture:
        draw(result, "spectrogram", lambda: charts.spectrogram(analysis.waveform), "Mel spectrogram")


def words_key(result: session.Result) -> str:
    """Return the key of the field of a recording's transcript."""
    return f"words-{result.digest}"


def take_words(result: session.Result) -> None:
    """Take what the person wrote into the transcript's field, which stands below what it may change."""
    if result.heard is not None:
        result.take(st.session_state.get(words_key(result), result.words), engine.analyzer(result.model))


def draw(result: session.Result, name: str, make: Callable[[], Figure], alt: str) -> None:
    """Draw a chart of a result, made at its first showing only; `alt` says the same in words."""
    # Plotly trusts any pandas in sys.modules, also one that the warm-up's thread is half-way through importing.
    import pandas  # noqa: F401

    if name not in result.figures:
        result.figures[name] = make()
    st.plotly_chart(result.figures[name], config=charts.CONFIG, alt=alt, key=name)


def show_emotions(result: session.Result) -> None:
    """Draw all emotions, sorted, and the same as a table for those who cannot see it."""
    scores = result.current.scores
    kind = wording.kind(scores.labels)
    st.subheader(f"Every {kind}", anchor=False)
    draw(result, "emotions", lambda: charts.emotion_bars(scores), wording.ranking(scores))
    with st.expander("As a table"):
        rows = {wording.verbatim(wording.name(label)): wording.percent(value) for label, value in scores.ranked()}
        st.table({kind.capitalize(): list(rows), "Probability": list(rows.values())}, hide_index=True)


def show_words(result: session.Result) -> None:
    """Show the transcript, to be corrected by hand; a correction goes into the downloads, and to a model that reads."""
    st.subheader("The words", anchor=False)
    transcript = result.analysis.transcript
    if transcript is None:
        st.html(theme.line("quiet", "Words were not transcribed."))
        return
    # The widget's own memory ends when another page is visited; then it begins anew with what the session knows.
    key = words_key(result)
    if key not in st.session_state:
        result.offered = result.words
    st.text_area("Transcript, open to correction", result.offered, key=key, height=180)
    if not transcript.text:
        st.html(theme.line("quiet", "No words were recognised."))
    else:
        st.html(theme.line("quiet", wording.heard(transcript)))
    if result.problem is not None:
        st.error(wording.verbatim(result.problem))
    elif result.edited and result.current.modalities:
        st.html(theme.line("quiet", wording.correction(result.analysis.scores, result.current.scores)))
    elif result.edited:
        st.html(theme.line("quiet", "Edited by you; the downloads say so."))


def show_timeline(result: session.Result) -> None:
    """Draw how the emotions change over a long recording, and name each window's strongest in a table."""
    st.subheader("Over time", anchor=False)
    analysis = result.current
    tops = ", ".join(f"{window.start:.0f} s {window.scores.top}" for window in analysis.timeline[:20])
    draw(
        result,
        "timeline",
        lambda: charts.timeline(analysis.timeline, analysis.quality.duration_s),
        f"Strongest emotion by time: {tops}",
    )
    with st.expander("Windows as a table"):
        st.table(
            {
                "From": [wording.seconds(window.start) for window in analysis.timeline],
                "To": [wording.seconds(window.end) for window in analysis.timeline],
                "Strongest": [wording.verbatim(wording.name(window.scores.top)) for window in analysis.timeline],
                "Probability": [wording.percent(window.scores.ranked()[0][1]) for window in analysis.timeline],
            },
            hide_index=True,
            height=min(400, 40 * (len(analysis.timeline) + 1)),
        )


def show_recording(result: session.Result) -> DeltaGenerator:
    """Let the person listen to the recording, look at it, and read what the recording doctor found.

    Returns the place for the spectrogram, empty yet and as high as the picture will be.
    """
    analysis = result.analysis
    st.space("small")
    st.header("The recording", anchor=False)
    with st.container(key="players"):
        left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("As you gave it", anchor=False)
        st.audio(result.raw_wav, format="audio/wav", alt="The recording as given")
    with right:
        st.subheader("As the models heard it", anchor=False)
        st.audio(result.clean_wav, format="audio/wav", alt="The recording without silence, at 16 kHz")
    st.subheader("Recording", anchor=False)
    segments = analysis.speech.segments
    draw(
        result,
        "waveform",
        lambda: charts.waveform(analysis.waveform, segments),
        f"Recording, {wording.seconds(analysis.quality.duration_s)} with {len(segments)} stretches of speech",
    )
    st.html(theme.line("quiet", "Shaded and underlined: where speech was found."))
    st.subheader("Mel spectrogram", anchor=False)
    picture = st.container(key="picture")
    st.html(theme.line("quiet", "Stronger colour is more energy; the models hear nothing above 8 kHz."))
    st.subheader("Recording doctor", anchor=False)
    for warning in analysis.quality.warnings:
        st.markdown(f":material/warning: {warning}")
    if not analysis.quality.warnings:
        st.markdown(":material/check: Nothing to complain about.")
    st.html(theme.facts(wording.facts(analysis.quality)))
    return picture


def show_downloads(result: session.Result) -> None:
    """Offer the answer as files; what they hold is put together at the click, with the latest corrections."""
    state = session.current()

    def answer() -> tuple[Analysis, str, Analysis | None]:
        state.settle()
        return result.analysis, result.words, result.scored

    st.space("small")
    st.header("Take it with you", anchor=False)
    analysis = result.analysis
    with st.container(horizontal=True):
        st.download_button(
            "Download JSON",
            lambda: downloads.to_json(*answer()),
            file_name=downloads.file_name(analysis, "json"),
            mime="application/json",
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Download CSV",
            lambda: downloads.to_csv(*answer()),
            file_name=downloads.file_name(analysis, "csv"),
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
        st.button("Forget this recording", type="tertiary", on_click=state.forget)


session.enter()
listen_page()
