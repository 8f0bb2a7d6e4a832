"""Markdown tables for the documents: every figure in them comes from results/, configs/ or the corpus readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from whisper.tokenizer import LANGUAGES

from ser_engine.data.corpora.registry import CORPORA
from ser_engine.data.corpora.text_registry import TEXT_CORPORA
from ser_engine.data.degrade import TITLES
from ser_engine.evaluation.cards import accuracy_table, measured_elsewhere
from ser_engine.evaluation.ordinary import run_id
from ser_engine.evaluation.published import read_published
from ser_engine.evaluation.record import RunRecord, read_record, read_records
from tools import batch_tables, service_tables
from tools.language_tables import languages
from tools.markdown import percent, table
from tools.paper_tables import PAPERS, paper

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
DEFAULT = "ours/voice-and-words/speaker-independent"
AUDIO = "ours/whisper-tuned/speaker-independent"
HEADS = "ours/whisper-heads/speaker-independent"
OPEN = "ours/voice-open/speaker-independent"


def run(id: str) -> RunRecord:
    """Return the record of a run."""
    return read_record(RESULTS, id)


@cache
def bench() -> dict[str, Any]:
    """Return the figures of the benchmark."""
    figures: dict[str, Any] = json.loads((RESULTS / "bench.json").read_text(encoding="utf-8"))
    return figures


def interval(bounds: Sequence[float] | None) -> str:
    """Return an interval."""
    return "–" if bounds is None else f"{bounds[0]:.1f} to {bounds[1]:.1f}"


# Accuracy


def accuracy() -> str:
    """Return accuracy on unseen speakers, and among the emotions that other corpora share."""
    whole = accuracy_table(run(DEFAULT)).splitlines()
    return "\n".join([*(row for row in whole if not row.startswith(("| female", "| male"))), *elsewhere(AUDIO)])


def elsewhere(id: str) -> list[str]:
    """Return the rows of an accuracy table on corpora that a run's model was not trained on."""
    rows = []
    for name, row in measured_elsewhere(run(id)).items():
        shared = percent(row["UA_among_shared_labels"]), interval(row["UA_among_shared_labels_ci95"])
        language = ", ".join(LANGUAGES[code].title() for code in CORPORA[name].languages) or "no words"
        title = f"{CORPORA[name].title} ({language}, {len(row['shared_labels'])} emotions)"
        rows.append(f"| {title} | {shared[0]} | {shared[1]} | – | {row['clips']:,} |")
    return rows


def per_class() -> str:
    """Return precision and recall of each emotion."""
    record = run(DEFAULT)
    rows = [
        [label, percent(row["precision"]), percent(row["recall"]), percent(row["f1"]), f"{row['support']:,}"]
        for label, row in record.per_class.items()
    ]
    return table(["emotion", "precision", "recall", "F1", "clips"], rows)


def degradations() -> str:
    """Return accuracy on degraded recordings."""
    record = run(AUDIO)
    rows = [["as recorded", percent(record.metrics["UA"]), interval(record.interval), "–", str(record.no_speech)]]
    for name, row in record.degradations.items():
        bounds = (row["UA_low"], row["UA_high"])
        lost = percent(row["lost"]), f"{row['no_speech']:.0f}"
        rows.append([TITLES[name], percent(row["UA"]), interval(bounds), *lost])
    return table(["recordings", "UA", "95% interval", "points lost", "no speech"], rows)


def commercial() -> str:
    """Return the accuracy of the model for commercial use: on CREMA-D, and among the emotions that others share."""
    record = run(OPEN)
    rows = [row for row in accuracy_table(record).splitlines() if not row.startswith(("| female", "| male", "| all"))]
    for name, row in record.degradations.items():
        bounds = interval((row["UA_low"], row["UA_high"]))
        rows.append(
            f"| CREMA-D: {TITLES[name]} | {percent(row['UA'])} | {bounds} | {percent(row['WA'])} | {record.clips:,} |"
        )
    return "\n".join([*rows, *elsewhere(OPEN)])


def commercial_alarms() -> str:
    """Return the false alarms of the model for commercial use."""
    return alarms(run(OPEN).model)


def baselines(id: str = HEADS) -> str:
    """Return UA with and without baselines of each length."""
    rows = []
    for seconds, groups in run(id).details["baselines"].items():
        for group, row in groups.items():
            if "UA" in row:
                title = "all" if group == "pooled" else CORPORA[group].title
                figures = percent(row["UA"]), percent(row["without"])
                rows.append([f"{seconds} s", title, *figures, f"{row['clips']:,}"])
    return table(["baseline", "tested on", "UA", "UA without it", "clips"], rows)


def confidence() -> str:
    """Return what abstention achieves."""
    record = run(DEFAULT)
    threshold = record.calibration["threshold"]
    rows = [
        ["expected calibration error, points", percent(record.metrics["ECE"])],
        ["answers that are given, percent", f"{100 * threshold['coverage']:.0f}"],
        ["accuracy of the answers that are given, percent", percent(100 * threshold["accuracy"])],
        ["accuracy without abstention, percent", percent(100 * threshold["without"])],
    ]
    for name, row in measured_elsewhere(run(AUDIO)).items():
        given = row["confidence"]
        where = f"answers that are given on {CORPORA[name].title}, percent"
        rows.append([where, f"{100 * given['coverage']:.0f}"])
        rows.append([f"accuracy of the {where}", percent(100 * given["accuracy"])])
    return table(["measured", ""], rows)


def components() -> str:
    """Return the accuracy of the parts of the default model, and of the same recipe under other conditions."""
    audio, earlier = run(AUDIO), "ours/whisper-statistics"
    rows = [
        ["audio and text (default model)", run(DEFAULT).metrics],
        ["audio alone", audio.metrics],
        ["its heads with tuned encoder blocks alone", audio.components["tuned"]],
        ["its heads for everyday voices alone", audio.components["frozen"]],
        ["heads trained on acted speech alone", run(f"{earlier}/speaker-independent").metrics],
        ["the same with a second seed", run(f"{earlier}-seed-1/speaker-independent").metrics],
        ["the same, random folds (speakers are shared)", run(f"{earlier}/stratified-k-fold").metrics],
        ["most frequent emotion", run("ours/majority/speaker-independent").metrics],
    ]
    return table(["system", "UA", "WA"], [[name, percent(row["UA"]), percent(row["WA"])] for name, row in rows])


def words() -> str:
    """Return what the text model adds to acted speech, and its accuracy on written sentences."""
    text, effect = run("ours/goemotions/authors-split"), run(DEFAULT).details["words"]
    speech = run("ours/text/authors-split")
    others = [
        [f"a model for speech, not bundled, on {TEXT_CORPORA[name].title}", percent(speech.metrics[f"{name}_F1"])]
        for name in speech.corpora
    ]
    rows = [
        ["macro-F1 on the test part of GoEmotions, percent", percent(text.metrics["macro_f1"])],
        ["its 95% interval", interval(text.interval)],
        *others,
        ["acted clips whose words are taken as emotional, percent", f"{effect['informative']:.2f}"],
        ["acted clips whose answer the words change, percent", f"{effect['changed']:.2f}"],
        ["points of UA that the words cost on acted speech", f"{effect['lost']:.2f}"],
    ]
    return table(["measured", ""], rows)


def protocols() -> str:
    """Return the same systems under protocols that share speakers, and on unseen speakers."""
    pairs = [
        ("SVM on 371 acoustic features", "ours/svm", "stratified-k-fold"),
        ("heads on Whisper-base", "ours/whisper-statistics", "stratified-k-fold"),
        ("Whisper-base, frozen", "ours/whisper", "paper"),
        ("MiniLM on transcripts, frozen", "ours/minilm", "paper"),
        ("both, concatenated as by Sharma, with another head", "ours/whisper-minilm", "paper"),
    ]
    rows = []
    for title, system, shared in pairs:
        known, unseen = run(f"{system}/{shared}").metrics, run(f"{system}/speaker-independent").metrics
        figures = (known["WA"], known["UA"], unseen["WA"], unseen["UA"])
        rows.append([title, *map(percent, figures)])
    paper = read_published(RESULTS)["sharma/table-8/HuBERT-BERT"].metrics
    rows.append(["HuBERT and BERT, published by Sharma", percent(paper["WA"]), percent(paper["UA"]), "–", "–"])
    return table(["system", "WA, random split", "UA, random split", "WA, unseen speakers", "UA, unseen speakers"], rows)


def leaks() -> str:
    """Return what augmentation before the split adds."""
    ids = {
        "without augmentation": "gomes/svm/stratified-k-fold",
        "augmented copies in training only": "gomes/svm-augmented/stratified-k-fold",
        "augmented copies made before the split": "gomes/svm-augmented/augmented-before-split",
        "augmented copies in training only, unseen speakers": "gomes/svm-augmented/speaker-independent",
    }
    rows = [[name, percent(run(id).metrics["WA"]), percent(run(id).metrics["UA"])] for name, id in ids.items()]
    paper = read_published(RESULTS)["gomes/table-2/SVM"].metrics
    return table(["SVM of Gomes", "WA", "UA"], [*rows, ["published", percent(paper["WA"]), percent(paper["UA"])]])


def turns() -> str:
    """Return the error rates of speaker turns."""
    names = {
        "der_conversations": "conversations of two or three, built from corpora: diarization error rate",
        "speakers_counted_right": "conversations in which the number of speakers was found",
        "der_overlapped": "conversations of two to four with overlaps, in rooms: diarization error rate",
        "overlap_precision": "overlapped speech in these: precision",
        "overlap_recall": "overlapped speech in these: recall",
        "single_voice_one_emotion_right": "one voice in one emotion, found to be one",
        "single_voice_mixed_emotions_right": "one voice in several emotions, found to be one",
        "der_meetings": "meetings, half a minute each: diarization error rate",
        "der_meetings_counted": "the same, with the number of speakers given",
    }
    measured = bench()
    return table(["", "%"], [[name, percent(measured[key])] for key, name in names.items() if key in measured])


# Speed


def speed() -> str:
    """Return the figures of the benchmark that a user notices."""
    b = bench()
    rows = [
        ["from start to first paint", f"{b['first_paint_seconds']:.1f} s"],
        ["3 s recording, median (95th percentile)", f"{b['warm_3s_p50']:.2f} s ({b['warm_3s_p95']:.2f} s)"],
        ["60 s recording, median", f"{b['warm_60s_p50']:.1f} s"],
        ["3 s recording, compared with a plain pipeline", f"{b['speedup_vs_plain_3s']:.1f} times as fast"],
        [
            "live, from speech to chart, median (95th percentile)",
            f"{b['live_browser_latency_p50']:.2f} s ({b['live_browser_latency_p95']:.2f} s)",
        ],
        ["live sessions at once", str(b["live_sessions"])],
        ["peak memory", f"{b['peak_rss_mb']:,} MB"],
        ["word error rate (plain pipeline)", f"{b['wer_int8']:.1f}% ({b['wer_plain']:.1f}%)"],
    ]
    if "word_start_error_s" in b:
        rows.append(["error of the start of a word, median", f"{b['word_start_error_s']:.2f} s"])
    if "peak_2h_mb" in b:
        growth = f"{b['growth_mb_per_hour']:.0f} MB"
        rows.append(["peak memory of two hours (growth by the hour)", f"{b['peak_2h_mb']:,} MB ({growth})"])
        rows.append(["memory of a tab that shows half an hour", f"{b['tab_30min_mb']:.0f} MB"])
    return table([f"on {b['machine']['cores']} cores, without a GPU", ""], rows)


def stages() -> str:
    """Return the seconds of each stage."""
    short, long = bench()["stages"]["3s"], bench()["stages"]["60s"]
    return table(
        ["stage", "3 s recording", "60 s recording"],
        [[name, f"{1000 * short[name]:.0f} ms", f"{1000 * long[name]:.0f} ms"] for name in short],
    )


def reference_speed() -> str:
    """Return speed and memory beside those of the commit before the bundled models ran on onnxruntime."""
    b = bench()
    if "cold_3s_ratio" not in b:
        return ""
    rows = [
        [
            title,
            f"{b[f'{name}_seconds']['reference']:.2f} s",
            f"{b[f'{name}_seconds']['now']:.2f} s",
            f"{b[f'{name}_ratio']:.2f}",
        ]
        for name, title in (
            ("cold_3s", "`ser analyze` of 3 s, from nothing"),
            ("warm_3s", "3 s, models loaded"),
            ("warm_60s", "60 s, models loaded"),
            ("first_answer", "page, from its start to the first answer"),
        )
        if f"{name}_ratio" in b
    ]
    rows += [
        [title, f"{b[f'{name}_reference']:,} MB", f"{b[name]:,} MB", f"{b[name] / b[f'{name}_reference']:.2f}"]
        for name, title in (
            ("cli_peak_mb", "peak memory of `ser analyze`"),
            ("page_peak_mb", "of the page, after ten answers"),
            ("install_mb", "size of the installation (reference: before the rebuild)"),
        )
        if name in b
    ]
    rows += [
        [title, f"{b[f'{name}_reference']:.2f}%", f"{b[name]:.2f}%", ""]
        for name, title in (
            ("wer_fast", "word error rate, clips"),
            ("wer_60s", "word error rate, recordings of a minute"),
        )
        if name in b
    ]
    return table(["", "by torch", "by onnxruntime", "ratio"], rows)


def equivalence() -> str:
    """Return in how many clips the answers are those of the commit before onnxruntime, and what two sessions take."""
    b = bench()
    rows = [
        [title, f"{b[name]:.{digits}f}{unit}"]
        for name, title, digits, unit in (
            ("scores_same", "clips whose probabilities by voice are within 0.001 of torch's", 2, "%"),
            ("headlines_same", "clips with the same headline, by voice", 2, "%"),
            ("headlines_same_with_words", "clips with the same headline, by voice and words", 2, "%"),
            ("two_sessions_ratio", "two sessions at once, to one after the other", 2, ""),
            ("batch_words_throughput", "recordings a second with words on one core, in fours, to torch's", 2, ""),
        )
        if name in b
    ]
    return table(["", ""], rows) if rows else ""


def large_models() -> str:
    """Return the speed of HuBERT and BERT at full size."""
    b = bench()
    features = ", ".join(f"{value:.1f}" for value in b["feature_ms_per_clip"].values())
    rows = [
        [
            "3 s recording",
            f"{b['pipeline_seconds']['ours']:.1f} s",
            f"{b['pipeline_seconds']['plain']:.1f} s",
            f"{b['pipeline_speedup']:.1f}",
        ],
        [
            f"{b['batch_of']['clips']} clips, in batches and one by one",
            f"{b['batch_seconds']['together']:.0f} s",
            f"{b['batch_seconds']['one_by_one']:.0f} s",
            f"{b['batch_throughput_ratio']:.2f}",
        ],
        [
            f"{b['frozen_cache_of']['epochs']} epochs on cached states and on audio",
            f"{b['frozen_cache_seconds']['cached']:.0f} s",
            f"{b['frozen_cache_seconds']['uncached']:.0f} s",
            f"{b['frozen_cache_speedup']:.1f}",
        ],
    ]
    note = f"Acoustic features with 94, 173 and 371 values take {features} ms per clip."
    return table(["HuBERT-base and BERT-base", "this project", "plain", "ratio"], rows) + f"\n\n{note}"


def live() -> str:
    """Return the figures of live sessions."""
    b = bench()
    rows = [
        [
            "from the end of a window to its answer, median (95th percentile)",
            f"{b['live_latency_p50']:.2f} s ({b['live_latency_p95']:.2f} s)",
        ],
        [
            "from speech in the browser to the chart, median (95th percentile)",
            f"{b['live_browser_latency_p50']:.2f} s ({b['live_browser_latency_p95']:.2f} s)",
        ],
        ["sessions at once, at most 1% of windows skipped", str(b["live_sessions"])],
        ["memory added by one hour, audio not stored", f"{b['live_memory_growth_mb']:.0f} MB"],
    ]
    return table(["live sessions", ""], rows)


# Corpora


def corpora() -> str:
    """Return every corpus that has a reader."""
    rows = [
        [
            f"[{c.title}]({c.url})",
            f"`{c.id}`",
            ", ".join(c.languages) or "none",
            f"{c.expected_speakers}",
            f"{c.expected_clips:,}",
            c.license,
        ]
        for c in CORPORA.values()
    ]
    return table(["corpus", "key", "language", "speakers", "clips", "license"], rows)


def all_runs() -> str:
    """Return results/README.md."""
    records, problems = read_records(RESULTS)
    if problems:
        raise SystemExit("\n".join(problems))
    kinds: dict[str, tuple[str, list[str], Callable[[RunRecord], list[str]]]] = {
        "emotion": (
            "Emotion from speech",
            ["run", "UA", "95% interval", "WA", "clips", "no speech", "test speakers in training"],
            lambda r: [
                percent(r.metrics["UA"]),
                interval(r.interval),
                percent(r.metrics["WA"]),
                f"{r.tested or 0:,}",
                str(r.no_speech or 0),
                "no" if r.speaker_independent else "yes, and augmented copies" if r.leaky else "yes",
            ],
        ),
        "text-emotion": (
            "Emotion from text",
            ["run", "macro-F1", "95% interval"],
            lambda r: [percent(r.metrics["macro_f1"]), interval(r.interval)],
        ),
        "transcription": (
            "Transcription",
            ["run", "word error rate", "with 16-bit weights"],
            lambda r: [percent(r.metrics["wer_int8"]), percent(r.metrics["wer_fp16"])],
        ),
        "conversation": (
            "Live sessions on conversations of unseen speakers",
            ["run", "accuracy, four groups", "weighted F1, four groups", "segments"],
            lambda r: [
                percent(r.details["groups"]["metrics"]["accuracy"]),
                percent(r.details["groups"]["metrics"]["weighted_f1"]),
                str(r.details["segments"]),
            ],
        ),
        "ordinary": (
            "False alarms on ordinary talk",
            ["run", "percent of the windows"],
            lambda r: [", ".join(f"{source} {percent(row['alarms'])}" for source, row in r.details.items())],
        ),
    }  # fmt: skip
    parts = [
        "# Results\n\nEvery run, in percent. A folder holds run.json with all figures, and predictions.npz where the\n"
        "figures can be recomputed: `ser evaluate RUN`. Generated by `python -m tools.generate_docs`."
    ]
    for kind, (title, header, cells) in kinds.items():
        rows = [[f"[{r.id}]({r.id}/run.json)", *cells(r)] for r in records if r.kind == kind]
        if rows:
            parts.append(f"## {title}\n\n{table(header, rows)}")
    return "\n\n".join(parts) + "\n"


def deletion() -> str:
    """Return how far answers fall without the moments that weigh most."""
    figures = json.loads((RESULTS / "explanations.json").read_text(encoding="utf-8"))["deletion"]
    names = {
        "removal": "weights by removal",
        "silence": "weights by silence",
        "attention": "attention of the pooling heads",
        "random": "random pieces",
    }
    rows = [[name, *(percent(figures[kind][key]["fall"]) for kind in figures)] for key, name in names.items()]
    return table(["deleted by", *(f"fall, {kind}" for kind in figures)], rows)


def ordinary() -> str:
    """Return the false alarms of the default model on ordinary talk."""
    return alarms(run(DEFAULT).model)


def alarms(model: str) -> str:
    """Return a model's false alarms on ordinary talk."""
    details = run(run_id(model)).details
    rows = []
    for source, row in details.items():
        title = CORPORA[source].title if source in CORPORA else source
        figures = (percent(row[key]) for key in ("alarms", "alarms_per_minute", "quiet"))
        rows.append([title, str(row["windows"]), *figures])
    return table(["recordings of", "windows", "false alarms, percent", "a minute", "no alarm, percent"], rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "languages": languages,
    "commercial": commercial,
    "commercial-alarms": commercial_alarms,
    "baselines": baselines,
    "accuracy": accuracy,
    "accuracy-by-gender": lambda: accuracy_table(run(DEFAULT)),
    "per-class": per_class,
    "degradations": degradations,
    "confidence": confidence,
    "deletion": deletion,
    "ordinary": ordinary,
    "components": components,
    "words": words,
    "protocols": protocols,
    "leaks": leaks,
    "turns": turns,
    "speed": speed,
    "stages": stages,
    "reference-speed": reference_speed,
    "equivalence": equivalence,
    "large-models": large_models,
    "live": live,
    "corpora": corpora,
    "batch": batch_tables.batch,
    "batch-costs": batch_tables.costs,
    "batch-workers": batch_tables.workers,
    "service": service_tables.figures,
    "service-settings": service_tables.settings,
    "problems": service_tables.problems,
    **{key: partial(paper, key) for key in PAPERS},
}
