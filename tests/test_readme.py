"""Every figure that the README quotes is one that a command wrote."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ser_engine.settings import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
DEFAULT = PROJECT / "models" / (PROJECT / "models" / "DEFAULT").read_text(encoding="utf-8").strip()
VOICE, FROZEN, WORDS = (
    PROJECT / "models" / name for name in ("whisper-base-tuned", "whisper-base-statistics", "goemotions-minilm")
)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def measured_of(model: Path) -> Any:
    """Return the run.json that a model's config.json names."""
    return read(PROJECT / "results" / read(model / "config.json")["measured"]["run"] / "run.json")


def published(id: str) -> dict[str, Any]:
    """Return the figure of a paper."""
    figures = tomllib.loads((PROJECT / "results" / "published.toml").read_text(encoding="utf-8"))["figure"]
    (found,) = (figure for figure in figures if figure["id"] == id)
    return found


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first line begins with `heading`, without that line and the rule below it."""
    table = text[text.index(heading) :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_accuracies_are_those_of_the_run_and_of_the_card() -> None:
    run = measured_of(DEFAULT)
    measured = {"all together": run["metrics"] | {"clips": sum(row["clips"] for row in run["by_corpus"].values())}}
    measured |= run["by_corpus"]
    quoted = rows(README, "| tested on |")
    assert len(quoted) == len(measured)
    for (name, ua, interval, wa, clips), (key, row) in zip(quoted, measured.items(), strict=True):
        assert re.sub(r"\W", "", name.lower()).startswith(key.replace(" ", ""))
        low, high = row["UA_ci95"]
        assert [ua, interval, wa] == [f"{row['UA']:.1f}", f"{low:.1f} to {high:.1f}", f"{row['WA']:.1f}"]
        assert int(clips) == row["clips"]
    german = measured_of(VOICE)["external"]["emodb"]
    low, high = german["UA_among_shared_labels_ci95"]
    assert f"is {german['UA_among_shared_labels']:.1f} ({low:.1f} to {high:.1f})" in README
    assert f"{run['no_speech_found']} of the {sum(row['clips'] for row in run['by_corpus'].values()):,} clips" in README
    card = rows((DEFAULT / "README.md").read_text(encoding="utf-8"), "| tested on |")
    assert card[: len(quoted)] == quoted  # below stand women and men


def test_worse_hearing_and_doubt_are_those_of_the_run() -> None:
    run = measured_of(VOICE)
    told, lost = " ".join(README.split()), {name: row["lost"] for name, row in run["conditions"].items()}
    assert (
        f"Cut to three seconds, the same clips cost it {lost['crop']:.1f} points of UA, by telephone (8 kHz, mu-law) "
        f"{lost['telephone']:.1f}, among six people talking 10 dB below {lost['babble']:.1f}" in told
    )
    run = measured_of(DEFAULT)
    threshold, error = run["confidence"]["threshold"], run["metrics"]["ECE"]
    assert f"off by {error:.1f} points on average" in told
    assert (
        f"it answers {100 * threshold['coverage']:.0f} of 100 clips and is right in {100 * threshold['accuracy']:.1f} "
        f"of 100 answers, against {100 * threshold['without']:.1f} had it always answered" in told
    )


def test_what_words_do_to_the_voice_is_what_was_measured() -> None:
    told, both, words = " ".join(README.split()), measured_of(DEFAULT)["words"], measured_of(WORDS)["metrics"]
    low, high = words["macro_f1_ci95"]
    assert f"macro-F1 {words['macro_f1']:.1f} on its test part ({low:.1f} to {high:.1f})" in told
    assert (
        f"they speak up in {both['speak']:.2f} of 100 clips, change {both['change']:.2f} answers in 100 and cost "
        f"{both['lost']:.2f} points of UA" in told
    )


def test_another_seed_and_random_folds_have_the_figures_that_were_measured() -> None:
    told, results = " ".join(README.split()), PROJECT / "results"
    again, known = (
        read(results / f"ours-whisper_statistics{run}" / "run.json")
        for run in ("_seed_1-speaker_independent", "-stratified_k_fold")
    )
    shipped = measured_of(FROZEN)
    assert {**again["config"], "seed": 0, "save": True} == shipped["config"]
    assert {**known["config"], "protocol": shipped["config"]["protocol"], "save": True} == shipped["config"]
    parts = measured_of(VOICE)["parts"]
    assert f"tuned for emotion (UA alone {parts['tuned']['UA']:.1f})" in told
    assert f"the encoder as it is (UA alone {parts['frozen']['UA']:.1f})" in told
    assert parts["frozen"]["UA"] == shipped["metrics"]["UA"]
    corpora = {name: row["UA"] for name, row in again["by_corpus"].items()}
    assert (
        f"another seed that head has {again['metrics']['UA']:.1f} on strangers (CREMA-D {corpora['cremad']:.1f}, "
        f"RAVDESS {corpora['ravdess']:.1f}, TESS {corpora['tess']:.1f}, "
        f"EMO-DB {again['external']['emodb']['UA_among_shared_labels']:.1f})" in told
    )
    papers = [
        published(id)["WA"] for id in ("islam/table-32/HuBERT-augmented/English", "sharma/table-8/HuBERT-BERT")
    ]
    assert (
        f"has a UA of {known['metrics']['UA']:.1f} and a WA of {known['metrics']['WA']:.1f}; paper-3's fine-tuned "
        f"HuBERT has a WA of {papers[0]:.1f} on four English corpora, paper-1's HuBERT and BERT {papers[1]:.1f} on five"
        in told
    )


def test_what_the_protocol_is_worth_is_what_was_measured() -> None:
    results = PROJECT / "results"
    known, strangers = (
        read(results / f"ours-svm-{protocol}" / "run.json") for protocol in ("stratified_k_fold", "speaker_independent")
    )
    assert not known["speaker_independent"] and strangers["speaker_independent"]
    assert {**known["config"], "protocol": ""} == {**strangers["config"], "protocol": ""}
    plain = " ".join(README.split())
    assert f"a WA of {known['metrics']['WA']:.1f}% when it is tested on random clips" in plain
    assert f"and of {strangers['metrics']['WA']:.1f}% on strangers" in plain


def test_what_a_leak_is_worth_is_what_was_measured() -> None:
    plain, copies, leaked = (
        read(PROJECT / "results" / f"paper-4-{run}" / "run.json")
        for run in ("svm-stratified_k_fold", "svm_augmented-stratified_k_fold", "svm_augmented-augmented_before_split")
    )
    told = " ".join(README.split())
    assert f"has {plain['metrics']['WA']:.1f}% without augmentation and {copies['metrics']['WA']:.1f}% with it" in told
    assert f"they lift it to {leaked['metrics']['WA']:.1f}%" in told
    assert f"its published {published('gomes/table-2/SVM')['WA']}%" in told


def test_what_words_add_is_what_was_measured() -> None:
    systems = {"speech": "whisper", "words": "minilm", "both": "whisper_minilm"}
    expected = []
    for name, system in systems.items():
        known, strangers = (
            read(PROJECT / "results" / f"ours-{system}-{protocol}" / "run.json")["metrics"]
            for protocol in ("paper", "speaker_independent")
        )
        figures = (known["WA"], known["UA"], strangers["WA"], strangers["UA"])
        expected.append([name, *(f"{figure:.1f}" for figure in figures)])
    *ours, paper = rows(README, "| heard and read |")
    assert ours == expected
    both = published("sharma/table-8/HuBERT-BERT")
    assert paper[1:] == [f"{both['WA']:.1f}", f"{both['UA']:.1f}", "–", "–"]


def test_what_hubert_and_bert_cost_is_what_was_measured() -> None:
    bench, told = read(PROJECT / "results" / "bench.json"), " ".join(README.split())
    assert f"{bench['pipeline_seconds']['ours']:.1f} s instead of {bench['pipeline_seconds']['plain']:.1f} s" in told
    assert f"{bench['pipeline_speedup']:.1f} times as fast" in told
    assert f"{bench['batch_throughput_ratio']:.2f} times as many clips a second" in told
    assert f"{bench['frozen_cache_speedup']:.1f} times less" in told


def test_the_times_are_those_of_the_benchmark() -> None:
    bench = read(PROJECT / "results" / "bench.json")
    quoted = dict(rows(README, "| measured |"))
    assert set(quoted.values()) == {
        f"{bench['first_paint_seconds']:.1f} s",
        f"{bench['warm_3s_p50']:.2f} s (95% under {bench['warm_3s_p95']:.2f} s)",
        f"{bench['warm_60s_p50']:.1f} s",
        f"{bench['speedup_vs_plain_3s']:.1f} times as fast",
        f"{bench['peak_rss_mb']} MB",
        f"{bench['wer_int8']:.1f}% (plain: {bench['wer_plain']:.1f}%)",
        f"{bench['live_latency_p50']:.2f} s (95% under {bench['live_latency_p95']:.2f} s)",
        f"{bench['live_browser_latency_p50']:.2f} s (95% under {bench['live_browser_latency_p95']:.2f} s)",
        str(bench["live_sessions"]),
        f"{bench['live_memory_growth_mb']:.0f} MB",
    }
    assert str(bench["machine"]["cores"]) in README


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_what_the_readme_links_to_is_there(link: str) -> None:
    assert (PROJECT / link).exists()


def test_the_weights_are_small_enough_to_ship() -> None:
    assert (PROJECT / "models" / "whisper-base" / "model.safetensors").stat().st_size <= 80e6
    assert sum((model / "model.safetensors").stat().st_size for model in (VOICE, FROZEN)) <= 30e6
    assert (WORDS / "model.safetensors").stat().st_size <= 25e6
    words = read(PROJECT / "results" / "whisper-base-wer" / "run.json")
    assert words["clips"] >= 500 and words["wer_int8"] <= words["wer_fp16"] + 0.7
