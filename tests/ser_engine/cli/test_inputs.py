"""The command line takes what shells give: folders of telephones, pipes, and names of any kind."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ser_engine.cli.main import main
from ser_engine.settings import PROJECT
from tests.speech import RATE, encode, silence, speech, speech_wav

Captured = pytest.CaptureFixture[str]
ANALYZE = ("analyze", "--json", "--no-transcript")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the one who runs the tests has set."""
    for name in [name for name in os.environ if name.startswith("SER_")]:
        monkeypatch.delenv(name)


def give_standard_input(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_folder_of_a_telephone(tmp_path: Path, capsys: Captured) -> None:
    recordings = {
        "call.3gp": ("3gp", "aac"),
        "film.MOV": ("mov", "aac"),
        "memo.caf": ("caf", "pcm_s16le"),
        "note": ("adts", "aac"),
        "screen.mkv": ("matroska", "flac"),
    }
    for name, (container, codec) in recordings.items():
        (tmp_path / name).write_bytes(encode(speech(), RATE, container, codec))
    (tmp_path / ".trash").mkdir()
    hidden = {"._call.3gp": bytes(100), ".DS_Store": bytes(9), ".trash/old.wav": speech_wav()}
    others = {"call.txt": b"a call", "call.json": b"{}", "call.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF", "empty.srt": b""}
    for name, data in (hidden | others).items():
        (tmp_path / name).write_bytes(data)
    assert main([*ANALYZE, str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [Path(json.loads(line)["file"]).name for line in out.splitlines()] == sorted(recordings)
    assert err == "Skipped 7 files: 3 hidden, 4 not audio.\n"


def test_a_file_that_calls_itself_a_recording_is_not_skipped(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "good.wav").write_bytes(speech_wav())
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.mp3").write_text("no recording")
    (tmp_path / "cut.amr").write_bytes(b"#!AMR\n")
    assert main([*ANALYZE, str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert [Path(line.split(": ")[0]).name for line in err.splitlines()] == ["cut.amr", "empty.wav", "text.mp3"]


def test_a_file_that_is_given_itself_is_not_skipped(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "notes.txt").write_text("no recording")
    assert main([*ANALYZE, str(tmp_path / "notes.txt")]) == 2
    assert capsys.readouterr().err.endswith("notes.txt: This is a text document, not a recording.\n")


def test_a_folder_without_recordings_says_what_it_holds(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "notes.txt").write_text("no recording")
    assert main(["analyze", str(tmp_path)]) == 2
    assert capsys.readouterr() == ("", "No recordings were found. Skipped 1 file: 1 not audio.\n")


def test_warnings_of_decoding_are_below_the_row(tmp_path: Path, capsys: Captured) -> None:
    samples = speech()
    samples[20_000:20_004] = np.nan
    path = tmp_path / "voice.wav"
    path.write_bytes(encode(samples, codec="FLOAT"))
    assert main(["analyze", "--no-transcript", str(path)]) == 0
    *_, row, warning = capsys.readouterr().out.splitlines()
    assert "voice.wav" in row
    assert warning.startswith("  4 invalid samples")
    assert main([*ANALYZE, str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["quality"]["warnings"][0] == warning.strip()


def test_a_track_is_chosen_by_an_option_or_the_environment(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(speech_wav())
    assert main([*ANALYZE, "--track", "1", str(path)]) == 0
    assert main([*ANALYZE, "--track", "2", str(path)]) == 2
    assert "track 2 is asked for (--track, SER_TRACK)" in capsys.readouterr().err
    monkeypatch.setenv("SER_TRACK", "3")
    assert main([*ANALYZE, str(path)]) == 2
    assert "track 3 is asked for" in capsys.readouterr().err


# --- standard input and pipes


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input(name: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    give_standard_input(speech_wav(), monkeypatch)
    assert main([*ANALYZE, name]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["file"] == name
    assert answer["quality"]["duration_s"] == pytest.approx(len(speech()) / RATE, abs=0.01)


def test_standard_input_that_is_no_recording(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    for data, sentence in ((b"", "empty"), (b"Dogs are sitting by the door.", "text document")):
        give_standard_input(data, monkeypatch)
        assert main([*ANALYZE, "-"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("-: ")
        assert sentence in line
    give_standard_input(speech_wav(), monkeypatch)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert main([*ANALYZE, "-"]) == 2
    assert "pipe one to it" in capsys.readouterr().err


def test_a_pipe_has_the_limit_of_a_file(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_MAX_BYTES", str(2**20))
    give_standard_input(encode(silence(60)), monkeypatch)
    assert main([*ANALYZE, "-"]) == 2
    assert capsys.readouterr().err == (
        "-: The recording has more than 1 MB, the most that can be analyzed (SER_MAX_BYTES).\n"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe(tmp_path: Path, capsys: Captured) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(speech_wav(),))
    writer.start()
    assert main([*ANALYZE, str(pipe)]) == 0
    writer.join()
    assert json.loads(capsys.readouterr().out)["file"] == str(pipe)


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="process substitution needs a shell that has it")
def test_a_process_substitution(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(speech_wav())
    command = f"'{sys.executable}' -m ser_engine {' '.join(ANALYZE)} <(cat '{tmp_path}/a.wav')"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["file"].startswith("/dev/fd/")


# --- names


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "x/" * 3000 + "a.wav", "\udce9t\udce9.wav", "a\nb.wav"])
def test_names_that_no_file_has(name: str, capsys: Captured) -> None:
    for verb in (ANALYZE, ("live",)):
        assert main([*verb, name]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        sentence = err.split(": ", 1)[-1]
        assert sentence.endswith(".\n")
        assert len(sentence) < 200
        assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such file names")
def test_a_name_that_is_not_utf_8_in_a_process(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name, data in ((b"caf\xe9.wav", speech_wav()), (b"\xff.wav", b"")):
        (tmp_path / os.fsdecode(name)).write_bytes(data)
    command = [sys.executable, "-m", "ser_engine", "analyze", "--no-transcript", folder]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=300, check=False)
    assert done.returncode == 2
    assert b"caf\\udce9.wav" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.endswith(b"The file is empty: it has 0 bytes.")


def test_a_name_that_begins_with_a_dash(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-x.wav").write_bytes(speech_wav())
    for arguments in (["analyze", "-x.wav"], ["analyze", "a.wav", "-x.wav"], ["live", "--baseline", "-x.wav", "a"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == "A file whose name begins with a dash needs ./ before it: ./-x.wav"
    with pytest.raises(SystemExit):
        main(["analyze", "a.wav", "--jsonl"])
    assert "dash" not in capsys.readouterr().err
    for arguments in ([*ANALYZE, "./-x.wav"], [*ANALYZE, "--", "-x.wav"]):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["file"] == "-x.wav"
