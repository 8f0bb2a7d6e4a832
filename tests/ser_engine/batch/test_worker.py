"""Jobs on one machine: batches, dead workers, Ctrl-C, resumption; with a tiny model and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from ser_engine import Analyzer
from ser_engine.batch.job import cut_chunks, run
from ser_engine.batch.local import Pool
from ser_engine.batch.output import Output, open_output
from ser_engine.batch.plan import make_plan
from ser_engine.batch.progress import Progress, read_progress
from ser_engine.batch.rows import Changed
from ser_engine.batch.sources import Item, list_sources
from ser_engine.batch.storage import UNKNOWN, Version
from ser_engine.batch.worker import Decoded, analyze_batch, cut_batches, decode_item
from ser_engine.cli.main import main
from ser_engine.errors import InvalidAudio, SerError
from ser_engine.settings import Settings
from tests.ser_engine.batch.archive import plan_of
from tests.ser_engine.tiny_listener import LABELS, tiny_analyzer
from tests.speech import encode, silence, speech, speech_wav

Done = tuple[Path, list[Progress]]
"""The output of a job, and what it reported."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a model that takes no time."""
    return tiny_analyzer(tmp_path_factory.mktemp("tiny")).settings


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, a call in stereo, and what cannot be analyzed."""
    folder = tmp_path_factory.mktemp("calls")
    for number in range(6):
        (folder / f"{number}.wav").write_bytes(speech_wav(voice=("man", "woman")[number % 2]))
    man, woman = speech(), speech(voice="woman")
    both = [np.pad(man, (0, len(woman))), np.pad(woman, (len(man), 0))]
    (folder / "call.wav").write_bytes(encode(np.stack(both, axis=1)))
    (folder / "long.wav").write_bytes(encode(np.tile(speech(), 4)))
    (folder / "silent.wav").write_bytes(encode(silence(2)))
    (folder / "cut.wav").write_bytes(speech_wav()[:30])
    (folder / "notes.txt").write_text("no recording")
    return folder


@pytest.fixture(scope="module")
def done(calls: Path, tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The output of a job over that folder, and what it reported."""
    out = tmp_path_factory.mktemp("done") / "out"
    reports: list[Progress] = []
    run(make_plan([calls], tiny), out, workers=1, settings=tiny, on_progress=reports.append)
    return out, reports


def test_every_recording_has_a_row_and_every_error_a_reason(done: Done) -> None:
    out, reports = done
    table = open_output(out).recordings.to_table().sort_by("file").to_pylist()
    rows = {Path(row["file"]).name: row for row in table}
    assert sorted(rows) == [*(f"{n}.wav" for n in range(6)), "call.wav", "cut.wav", "long.wav", "silent.wav"]
    assert rows["cut.wav"]["error_kind"] == "InvalidAudio" and "cannot be decoded" in rows["cut.wav"]["error"]
    assert rows["silent.wav"]["error_kind"] == "NoSpeech" and rows["silent.wav"]["label"] is None
    assert rows["0.wav"]["label"] in LABELS and rows["0.wav"]["error"] is None
    assert sum(rows["0.wav"]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert [each["channel"] for each in rows["call.wav"]["speakers"]] == [1, 2]
    assert rows["0.wav"]["transcript"] is None and rows["0.wav"]["duration_s"] == pytest.approx(len(speech()) / 16000)
    end = reports[-1]
    assert (end.state, end.done, end.total, end.failed, end.skipped) == ("finished", 10, 10, 2, 1)
    assert end.audio_s == pytest.approx(sum(row["duration_s"] or 0 for row in table))
    assert read_progress(out) == end
    assert "cut.wav: This looks like a WAV" in (out / "_log.txt").read_text()


def test_segments_are_windows_with_speakers_and_channels(done: Done) -> None:
    table = pl.from_arrow(open_output(done[0]).segments.to_table())
    assert isinstance(table, pl.DataFrame)
    call = table.filter(pl.col("file").str.ends_with("call.wav"))
    assert set(call["channel"].to_list()) == {1, 2} and call["speaker"].n_unique() == 2
    long = table.filter(pl.col("file").str.ends_with("long.wav"))
    assert long["number"].to_list() == list(range(len(long))) and len(long) > 3
    assert long["start_s"].is_sorted() and long["text"].null_count() == len(long)


def test_the_rows_are_the_answers_of_an_analyzer(done: Done, calls: Path, tiny: Settings) -> None:
    analysis = Analyzer(tiny).analyze(calls / "0.wav")
    (row,) = [row for row in open_output(done[0]).recordings.to_table().to_pylist() if row["file"].endswith("/0.wav")]
    assert row["label"] == analysis.scores.top
    assert row["confidence"] == pytest.approx(float(analysis.scores.probabilities.max()), abs=1e-5)
    assert row["sha256"] == analysis.recording.source.sha256


def test_a_finished_job_goes_on_without_any_process(done: Done, calls: Path, tiny: Settings) -> None:
    begun = time.monotonic()
    end = run(make_plan([calls], tiny), done[0], resume=True, settings=tiny)
    assert (end.state, end.done, end.earlier, end.failed, end.skipped) == ("finished", 10, 10, 2, 1)
    assert time.monotonic() - begun < 10


def environment(tiny: Settings) -> dict[str, str]:
    own = {"SER_MODELS_DIR": str(tiny.models_dir), "SER_MODEL": "tiny", "SER_TRANSCRIBE": "no", "SER_SPEAKERS": "off"}
    return os.environ | own


def start(tiny: Settings, *arguments: object) -> subprocess.Popen[str]:
    """Start `ser batch` with the tiny model."""
    command = [sys.executable, "-m", "ser_engine", "batch", "--workers", "1", *map(str, arguments)]
    return subprocess.Popen(command, env=environment(tiny), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_saves_what_is_under_way_and_the_job_goes_on_later(tiny: Settings, tmp_path: Path) -> None:
    folder, out = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    sound = speech_wav()
    for number in range(3000):
        (folder / f"{number:04}.wav").write_bytes(sound)
    process = start(tiny, folder, "-o", out, "--progress", "json")
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if json.loads(line)["done"] > 0:
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Finishing what is under way" in errors and "continue with --resume" in errors and "Traceback" not in errors
    end = json.loads(rest.splitlines()[-1])
    files = open_output(out).recordings.to_table(["file"])["file"].to_pylist()
    assert end["state"] == "stopped" and len(files) == len(set(files)) == end["done"] < 3000


@pytest.fixture
def pool(tiny: Settings) -> Iterator[Pool]:
    pool = Pool(tiny, workers=1)
    yield pool
    pool.close()


def test_a_dead_worker_is_replaced_and_what_kills_it_twice_has_a_row(pool: Pool, tmp_path: Path) -> None:
    items = []
    for name in ("a", "deadly", "b"):
        (tmp_path / f"{name}.wav").write_bytes(speech_wav())
        items.append(Item(str(tmp_path / f"{name}.wav")))
    deadly, deaths = items[1].file, list[Any]()

    def kill() -> None:
        while len(deaths) < 2:
            for worker in [each for each in pool._workers if deadly in each.waiting and each.process.poll() is None]:
                os.kill(worker.process.pid, signal.SIGKILL)
                worker.process.wait()
                deaths.append(worker)
            time.sleep(0.001)

    threading.Thread(target=kill, daemon=True).start()
    outcomes = [outcome for outcome in pool.analyze(iter([items])) if outcome is not None]
    rows: dict[str, Any] = {Path(each.file).stem: each.row for each in outcomes}
    assert len(outcomes) == 3 and len(deaths) == 2
    assert rows["a"]["label"] in LABELS and rows["b"]["label"] in LABELS
    assert rows["deadly"]["error_kind"] == "WorkerDied"
    assert "ended by signal 9, as the system does when memory runs out, 2 times" in rows["deadly"]["error"]


def test_workers_that_never_become_ready_end_the_job_with_a_sentence(tiny: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(speech_wav())
    missing = Pool(replace(tiny, model="nobody"), workers=1)
    with pytest.raises(SerError, match="There is no emotion model “nobody”"):
        list(missing.analyze(iter([[Item(str(tmp_path / "a.wav"))]])))
    missing.close()


def test_workers_end_with_the_process_that_started_them(tiny: Settings, calls: Path, tmp_path: Path) -> None:
    process = start(tiny, calls, "-o", tmp_path / "out", "--progress", "none")
    children: list[psutil.Process] = []
    while not children:
        time.sleep(0.05)
        children = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert gone and not alive


# Without processes


def test_a_recording_that_changes_while_it_is_read_is_read_again(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(speech_wav())
    decoded = decode_item(Item(str(path), Version(1, 2.0)), settings)
    assert decoded.version == Version(path.stat().st_size, path.stat().st_mtime)

    def touch() -> None:
        while not stop:
            path.touch()
            time.sleep(0.0005)

    stop: list[int] = []
    thread = threading.Thread(target=touch)
    thread.start()
    try:
        path.write_bytes(encode(np.tile(speech(), 60)))
        restless = decode_item(Item(str(path)), settings)
    finally:
        stop.append(1)
        thread.join()
    assert isinstance(restless.sound, Changed)


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
def test_a_name_that_is_not_unicode_has_one_row(tmp_path: Path, settings: Settings) -> None:
    folder, out = tmp_path / "calls", tmp_path / "out"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav")).write_bytes(b"RIFF damaged")
    (item,) = list_sources([str(folder)])
    (outcome,) = analyze_batch([decode_item(item, settings)], Analyzer(settings))
    plan = plan_of(out, ())
    with Output(out, plan) as output:
        output.add(outcome)
        output.commit()
    with Output(out, plan, resume=True) as output:
        assert output.has(item)
    (row,) = open_output(out).recordings.to_table().to_pylist()
    assert row["file"].endswith("caf\\udce9.wav") and row["error_kind"] == "InvalidAudio"


def test_batches_are_bounded(tmp_path: Path, settings: Settings) -> None:
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    short.write_bytes(encode(speech()[:16_000]))
    long.write_bytes(encode(np.tile(speech(), 40)))
    items = [Item(str(each)) for each in [long] + 20 * [short] + [tmp_path / "gone.wav", long]]
    sizes = [len(batch) for batch in cut_batches(items, settings)]
    assert sizes == [1, 16, 5, 1]


def test_an_error_that_nobody_knows_is_a_row_of_one_recording(tmp_path: Path) -> None:
    class Broken(Analyzer):
        def analyze_batch(self, sources: Any, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no such kernel\nmore")

    (tmp_path / "a.wav").write_bytes(speech_wav())
    decoded = decode_item(Item(str(tmp_path / "a.wav")), Settings())
    refused = Decoded(Item("b.wav", given=True), UNKNOWN, InvalidAudio("It is damaged."))
    first, second = analyze_batch([decoded, refused], Broken(Settings()))
    assert first.row is not None and second.row is not None
    assert first.row["error"] == "The analysis failed unexpectedly (RuntimeError: no such kernel)."
    assert (second.row["error_kind"], second.row["error"]) == ("InvalidAudio", "It is damaged.")


def test_chunks_are_of_one_size_and_enough_for_each_worker() -> None:
    items = [Item(str(number), Version(size=number % 7 * 1000)) for number in range(40)]
    chunks = [chunk for chunk in cut_chunks(items, workers=2) if chunk]
    assert sorted(item.file for chunk in chunks for item in chunk) == sorted(item.file for item in items)
    assert max(map(len, chunks)) == 10
    sizes = [item.version.size for chunk in chunks for item in chunk]
    assert sizes == sorted(sizes, key=lambda size: -(size or 0))
    assert [chunk and len(chunk) for chunk in cut_chunks([items[0], None, None, items[1]], 1)] == [1, None, 1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "out"], "There is nothing to analyze"),
        (["-o", "out", "--resume"], "is not the output of ser batch"),
        (["a.wav", "-o", "out", "--retry-errors"], "--retry-errors needs --resume"),
        (["a.wav", "-o", "out", "--workers", "-1"], "--workers is 0 or more"),
        (["a.wav", "-o", "out", "--model", "nobody"], "There is no emotion model"),
        (["https://me:pass@host/a.wav", "-o", "out"], "password"),
        (["calls.csv", "-o", "out"], "There is no manifest"),
    ],
)
def test_bad_arguments_give_a_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["batch", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_too_many_errors_stop_the_job(tiny: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.wav").write_bytes(b"RIFF damaged")
    process = start(tiny, folder, "-o", tmp_path / "out", "--max-errors", 3, "--progress", "none")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.strip() == "More than 3 recordings could not be analyzed (--max-errors)."
    assert 3 < open_output(tmp_path / "out").recordings.count_rows() < 200


def test_nothing_of_this_is_needed_for_single_recordings() -> None:
    code = (
        "import sys, ser_engine, ser_engine.analyzer, ser_engine.cli.main\n"
        "print([name for name in ('pyarrow', 'ray', 'fsspec', 'filelock', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
