"""Listen: upload or record speech and see its emotions, transcript and quality."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import streamlit as st

from ser_engine.errors import SerError
from ser_engine.transcription.language import warn_of_languages
from ui import calibration, caveats, engine, panels, reload, session, theme, wording
from ui.components.file_list import list_files
from ui.components.recorder import record
from ui.components.transcript import list_sentences
from ui.listen import charts, downloads, files, language_choice, model_choice, speakers
from ui.listen import why as explain
from ui.listen import wording as sentences
from ui.panels import as_table, note, section

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from streamlit.delta_generator import DeltaGenerator

    from ser_engine import Analysis
    from ui.engine import Fetched
    from ui.listen.job import Job, Steps

# How often the page looks at the progress of an analysis, and of several files. (A comment: Streamlit prints a string
# that stands alone.)
POLL_S, FILES_S = 0.1, 0.5


def listen_page() -> None:
    """Draw the page: title, input, steps, result."""
    st.title("What does this voice sound like?", anchor=False)
    st.html(
        theme.line(
            "lead",
            "Upload recordings, or record your own voice, and see the probability of each emotion next to the "
            "transcript. Everything is computed on this server, and forgotten when you leave.",
        )
    )
    try:
        engine.analyzer("")
    except SerError as error:
        st.error(wording.verbatim(str(error)))
        return
    state = session.current()
    take_recording(state)
    model_choice.choose(state)
    calibration.show(state)
    job = state.work(engine.analyzer(state.model))
    reload.mark(state)
    if state.files.rows:
        show_files(state)
    with st.container(key="status" if state.shows_one else "nothing"):
        status = st.empty()
    if job is not None:
        show_progress(state, job, status)
    if state.shows_one:
        with status.container():
            show_status(state)
    if state.result is None and not state.files.rows:
        show_outlook(state)
    elif state.result is not None:
        show_result(state.result)
    engine.warm_up(state.model)


def take_recording(state: session.Session) -> None:
    """Ask for files, or for speech."""
    limit_mb = max(1, engine.analyzer("").settings.max_bytes // 2**20)
    with st.container(key="input"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.header("Upload recordings", anchor=False)
            uploads = st.file_uploader(
                "Upload recordings",
                accept_multiple_files=True,
                key=f"upload{state.uploads or ''}",
                on_change=state.note_change,
                label_visibility="collapsed",
                max_upload_size=limit_mb,
            )
            note("WAV, FLAC, Ogg, Opus, MP3, M4A, MP4 or WebM, one or several. Several speakers get an answer each.")
        with right:
            st.header("Or record your voice", anchor=False)
            spoken = record(key="recorder")
    state.notice_uploads(uploads)
    if spoken:
        state.give(session.Recording(spoken, "Your recording.wav"))


def show_files(state: session.Session) -> None:
    """List several files with their answers, which arrive one after the other, and offer all of them as a table."""
    section("Files")
    st.fragment(follow_files, run_every=None if state.files.ended else FILES_S)(state)
    with st.container(horizontal=True):
        panels.download(
            "Download table", lambda: files.to_csv(list(state.files.rows.values())), "emotions.csv", "text/csv"
        )
        st.button("Discard all files", type="tertiary", on_click=state.discard_files)


def follow_files(state: session.Session) -> None:
    """Draw the list as it is now; rerun the whole page when something else on it changes."""
    before = st.session_state.get("files-drawn")
    now = (state.files.ended, state.opened)
    total, done = len(state.files.rows), state.files.done
    if state.files.ended:
        failed = sum(row.error is not None for row in state.files.rows.values())
        problem = f" {wording.count(failed).capitalize()} could not be analyzed." if failed else ""
        note(f"{total} files.{problem} Press one to open its full answer.")
    else:
        st.progress(done / total, f"{done} of {total} files analyzed")
        if waiting := sentences.queued(state.files.place):
            note(waiting)
    shown = state.result.recording.upload_id if state.result else None
    list_files(files.list_rows(state.files, shown), key="file-list", opened=state.open)
    st.session_state["files-drawn"] = now
    if before is not None and before != now:
        st.rerun()


def show_progress(state: session.Session, job: Job, status: DeltaGenerator) -> None:
    """Show the steps of an analysis until it has ended, and keep its result."""
    warming = engine.warm_up(state.model)
    with status.container():
        steps, news = st.empty(), st.empty()
    shown_steps: Steps | None = None
    shown_news: tuple[Fetched | None, str, bool, tuple[int, int] | None, int] | None = None
    while True:
        # Reading the session state is also where Streamlit ends a run that another click has superseded.
        session.current()
        so_far = job.steps
        fetching = engine.fetching(job.engine)
        minutes = sentences.minutes(job.seconds)
        latest = (engine.download().under_way(), fetching, not warming.is_set(), minutes, job.place)
        if so_far is not shown_steps:
            steps.html(theme.steps(so_far.times, so_far.running))
        if latest != shown_news:
            show_news(job.recording.name, *latest, news)
        shown_steps, shown_news = so_far, latest
        if job.ended.wait(POLL_S):
            break
    engine.download().forget()
    state.finish(job)


def show_news(
    name: str,
    fetched: Fetched | None,
    fetching: str,
    cold: bool,
    minutes: tuple[int, int] | None,
    queued: int,
    place: DeltaGenerator,
) -> None:
    """Show what the analysis is waiting for: others, a download, models that still load, or only itself.

    `minutes` are those of a long recording that have been analyzed, and those in all; `queued` is its place in the
    queue of all visitors.
    """
    if waiting := sentences.queued(queued):
        place.html(theme.line("quiet", f"{name} waits. {waiting}"))
        return
    if fetched is not None:
        what = fetching or f"Whisper {engine.analyzer('').settings.whisper}"
        text = sentences.fetching(what, fetched.done, fetched.total)
        place.progress(fetched.done / fetched.total if fetched.total else 0.0, text)
        return
    if fetching:
        place.html(theme.line("quiet", sentences.fetching_model(fetching)))
        return
    if minutes is not None:
        done, total = minutes
        place.progress(done / total, f"{done} of {total} minutes of {wording.verbatim(name)} analyzed")
        return
    loading = " The models are still loading, so the first analysis takes a little longer." if cold else ""
    place.html(theme.line("quiet", f"Analyzing {name}.{loading}"))


def show_status(state: session.Session) -> None:
    """Show, in a place of fixed height, what went wrong or how long the last analysis took."""
    if state.error is not None:
        st.error(wording.verbatim(state.error))
        again = "Try another recording" + (", or another model." if len(engine.choices()) > 1 else ".")
        if state.result is not None:
            again += f" The result for {state.result.analysis.file} is still shown below."
        note(again)
    elif state.result is not None:
        seconds = state.result.analysis.seconds
        st.html(theme.steps({stage: took for stage, took in seconds.items() if stage != "total"}))
        note(f"Analyzed in {wording.seconds(seconds['total'])}.")
    else:
        st.html(theme.steps({}))
        note("The steps of an analysis, with the time that each one takes.")


def show_outlook(state: session.Session) -> None:
    """Describe, before there is a result, what it will be."""
    labels = (engine.card(state.model) or {}).get("labels", ())
    each = f"each of {wording.count(len(labels))} {wording.kind(labels)}s" if labels else "each label of the model"
    parts = {
        "Emotion": f"A probability for {each}, under a headline that claims no more than they allow.",
        "Transcript": "The words in their original language, for you to correct.",
        "Recording": "To play, to look at, and to check for noise, clipping and other problems.",
    }
    with st.container(key="promise"):
        for column, (title, text) in zip(st.columns(3, gap="medium"), parts.items(), strict=True):
            with column:
                st.header(title, anchor=False)
                note(text)


def show_result(result: session.Result) -> None:
    """Show the result: headline, emotions, transcript, modalities, timeline, recording, downloads, limits."""
    take_words(result)
    show_headline(result)
    analysis = result.current
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show_emotions(result)
    with right, st.container(key="transcript"):
        show_transcript(result)
    show_modalities(result)
    show_timeline(result)
    picture, why = show_recording(result)
    show_downloads(result)
    st.space("small")
    caveats.show(engine.card(result.model), analysis.scores.labels)
    # Last, since the first spectrogram of a process has a large library to load.
    with picture:
        draw(result, "spectrogram", lambda: charts.spectrogram(result.shown_overview), "Mel spectrogram")
    if why is not None:
        with why:
            explain.show(result, engine.analyzer(result.model))


def show_headline(result: session.Result) -> None:
    """Show the answer in a few words; of several speakers, that of each, their turns, and who is shown in full."""
    whole, model = result.current, f" · {result.analysis.model}" if len(engine.choices()) > 1 else ""
    with st.container(key="headline", gap="xsmall"):
        st.html(theme.line("eyebrow", f"{whole.file}{model}"))
        if whole.speakers:
            speakers.show_answers(whole)
            speakers.show_lanes(result)
            speakers.choose(result, words_key(result))
        analysis = result.shown
        answer = (analysis.scores, analysis.threshold)
        if not whole.speakers:
            st.header(wording.verbatim(wording.headline(*answer)), anchor=False)
        st.html(theme.line("lead", wording.explanation(*answer)))
        if unmeasured := warn_of_languages(analysis):
            st.markdown(f":material/warning: {unmeasured}")
        if result.baseline is not None:
            note(wording.relative_to(result.baseline))
        if measured := wording.label_accuracy(analysis.scores.top, engine.card(result.model)):
            note(measured)


def words_key(result: session.Result) -> str:
    """Return the key of the field of a recording's transcript, which is another one in another language."""
    return "-".join(filter(None, ["words", result.recording.digest, result.language]))


def take_words(result: session.Result) -> None:
    """Take the edited transcript from its field, which is drawn below the elements that it may change."""
    if result.original_words is None:
        return
    words = st.session_state.get(words_key(result), result.words)
    changed = words != result.words and not result.analysis.has_sound
    with st.spinner("Scoring the sentences that you changed") if changed else nullcontext():
        result.take(words, engine.analyzer(result.model))


def draw(result: session.Result, name: str, make: Callable[[], Figure], alt: str) -> None:
    """Draw a chart of a result, made the first time it is shown; `alt` describes it in words."""
    if name not in result.figures:
        result.figures[name] = make()
    panels.draw(result.figures[name], alt, name)


def show_emotions(result: session.Result) -> None:
    """Draw the probabilities of all emotions, sorted."""
    scores = result.shown.scores
    kind = wording.kind(scores.labels)
    st.subheader(f"Probability of each {kind}", anchor=False)
    draw(result, "emotions", lambda: charts.emotion_bars(scores), wording.ranking(scores))
    rows = {wording.verbatim(wording.name(label)): wording.percent(value) for label, value in scores.ranked()}
    as_table({kind.capitalize(): list(rows), "Probability": list(rows.values())})


def show_transcript(result: session.Result) -> None:
    """Show the sentences with their emotions, and the transcript in an editable field.

    Edits go into the downloads, and into a model that uses text.
    """
    st.subheader("Transcript", anchor=False)
    transcript = result.analysis.transcript
    if transcript is None:
        note("Transcription is turned off.")
        return
    shown = result.current.transcript or transcript
    if rows := sentences.sentence_rows(shown.segments, len(shown.languages) > 1):
        list_sentences(rows, player="players", key="sentences")
        note("Press a sentence to play the recording from there.")
    # The widget forgets its value when another page is visited; then it begins with what the session has.
    key = words_key(result)
    if key not in st.session_state:
        result.offered = result.words
    st.text_area("Transcript (editable)", result.offered, key=key, height=180)
    note(sentences.transcript_note(transcript) if transcript.text else "No words were recognized.")
    if result.problem is not None:
        st.error(wording.verbatim(result.problem))
    elif result.edited and result.shown.modalities and not result.analysis.has_sound:
        note("Edited by you; the sentences that you changed were scored again, and all else is as it was.")
    elif result.edited and result.shown.modalities:
        note(sentences.correction(result.of_speaker(result.analysis).scores, result.shown.scores))
    elif result.edited:
        note("Edited by you; the downloads say so.")
    language_choice.choose(session.current(), engine.analyzer(result.model).settings.language)


def show_modalities(result: session.Result) -> None:
    """Draw the probabilities by audio, by text and combined, where the model has more than one of them."""
    modalities = result.shown.modalities
    if not modalities:
        return
    section("Audio and text")
    transcript = result.shown.transcript.text if result.shown.transcript else ""
    note(sentences.influence(modalities, transcript))
    titles = {key: title for key, title in wording.MODALITIES.items() if key in modalities}
    signs = {"audio": "□", "text": "▨", "fused": "■"}
    st.html(theme.legend([(signs[key], title) for key, title in titles.items()]))
    alt = "; ".join(f"{title}: {wording.ranking(modalities[key])}" for key, title in titles.items())
    draw(result, "modalities", lambda: charts.modality_bars(modalities), alt)
    labels = [label for label, _ in modalities["fused"].ranked()]
    shares = {title: modalities[key].to_dict() for key, title in titles.items()}
    columns = {title: [wording.percent(share[label]) for label in labels] for title, share in shares.items()}
    names = [wording.verbatim(wording.name(label)) for label in labels]
    as_table({wording.kind(labels).capitalize(): names, **columns})


def show_timeline(result: session.Result) -> None:
    """Draw the emotions of a long recording over time."""
    analysis = result.shown
    if not analysis.timeline:
        return
    st.subheader("Over time", anchor=False)
    duration = analysis.quality.duration_s
    tops = ", ".join(
        f"{wording.moment(window.start, duration)} {sentences.window_top(window)}" for window in analysis.timeline[:20]
    )
    if any(window.sure is False for window in analysis.timeline):
        st.html(theme.legend([("▨", "not sure: no probability reaches the threshold of the model")]))
    draw(
        result,
        "timeline",
        lambda: charts.timeline(analysis.timeline, duration),
        f"Most probable emotion over time: {tops}",
    )
    as_table(
        {
            "From": [wording.moment(window.start, duration) for window in analysis.timeline],
            "To": [wording.moment(window.end, duration) for window in analysis.timeline],
            "Most probable": [wording.verbatim(sentences.window_top(window)) for window in analysis.timeline],
            "Probability": [wording.percent(window.scores.ranked()[0][1]) for window in analysis.timeline],
        },
        height=min(400, 40 * (len(analysis.timeline) + 1)),
    )


def show_recording(result: session.Result) -> tuple[DeltaGenerator, DeltaGenerator | None]:
    """Show the recording with its players, waveform and quality.

    Returns the place for the spectrogram, still empty and as high as the picture will be, and that for the explanation
    under the waveform, where the person asks for one.
    """
    analysis = result.of_speaker(result.analysis)
    section("Recording")
    choose_track(result)
    with st.container(key="players"):
        left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Original", anchor=False)
        data, kind = result.sound
        st.audio(data, format=kind, alt="The original recording")
    with right:
        st.subheader("Preprocessed", anchor=False)
        if result.shown_speech is None:
            note("The speech of long recordings is not kept.")
        else:
            data, kind = result.shown_speech
            st.audio(data, format=kind, alt="The input of the model: speech alone, at 16 kHz")
    if result.analysis.speakers:
        speakers.show_players(result)
    st.subheader("Waveform", anchor=False)
    segments = analysis.speech.segments
    draw(
        result,
        "waveform",
        lambda: charts.waveform(result.shown_overview, segments),
        f"Waveform, {wording.seconds(analysis.quality.duration_s)} with {len(segments)} speech segments",
    )
    note("Speech segments are shaded and underlined.")
    asked = st.toggle("Why this answer?", key="explain", disabled=not analysis.has_sound)
    if not analysis.has_sound:
        minutes = engine.analyzer(result.model).settings.whole_s / 60
        note(f"An explanation is for recordings of up to {minutes:.4g} minutes: the sound of longer ones is not kept.")
    why = st.container(key="why") if asked and analysis.has_sound else None
    st.subheader("Mel spectrogram", anchor=False)
    picture = st.container(key="picture")
    note("A stronger color means more energy. The model uses frequencies up to 8 kHz.")
    st.subheader("Recording quality", anchor=False)
    for warning in result.analysis.quality.warnings:
        st.markdown(f":material/warning: {warning}")
    if not result.analysis.quality.warnings:
        st.markdown(":material/check: No problems found.")
    st.html(theme.facts(sentences.facts(analysis.quality)))
    speakers.show_channels(result.analysis.channels)
    return picture, why


def choose_track(result: session.Result) -> None:
    """Offer the other audio tracks of a recording that has several."""
    source = result.analysis.recording.source
    if source.tracks < 2:
        return
    key = f"track-{result.recording.digest}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note("Audio track", width="content")
        chosen = st.selectbox(
            "Audio track",
            range(1, source.tracks + 1),
            source.track - 1,
            format_func=lambda track: f"{track} of {source.tracks}",
            key=key,
            label_visibility="collapsed",
            width=140,
            on_change=lambda: session.current().choose_track(st.session_state[key]),
        )
    if chosen != source.track:
        note("The result is still that of the track before.")


def show_downloads(result: session.Result) -> None:
    """Offer the result as files, which are made at the click, with the latest edits."""
    state = session.current()

    def written(make: Callable[[Analysis, str, Analysis | None], str]) -> Callable[[], str]:
        def write() -> str:
            state.settle()
            return make(result.analysis, result.words, result.rescored)

        return write

    section("Download")
    note("JSON has everything; the other files have one entry for each sentence, with its emotion.")
    with st.container(horizontal=True):
        for title, (suffix, mime, make) in downloads.FILES.items():
            panels.download(f"Download {title}", written(make), downloads.file_name(result.analysis, suffix), mime)
        st.button("Discard this recording", type="tertiary", on_click=state.forget)


session.enter()
listen_page()
