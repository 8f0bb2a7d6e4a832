"""The engine of a cluster, on a real one: three node processes on this machine, of which one is killed half-way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ser_engine.batch.job import run
from ser_engine.batch.output import open_output
from ser_engine.batch.plan import make_plan
from ser_engine.batch.progress import Progress
from ser_engine.errors import InvalidSettings, SerError
from ser_engine.settings import PROJECT, Settings
from tests.ser_engine.tiny_listener import tiny_analyzer
from tests.speech import SENTENCES, VOICES, speech_wav

pytestmark = pytest.mark.slow
CLOSE = 1e-3
"""How far probabilities may be apart: batches, and so the rounding of sums, differ."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return tiny_analyzer(tmp_path_factory.mktemp("tiny")).settings


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of three nodes with a core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_both_engines_write_the_same_rows_though_a_node_is_lost(cluster: Any, tiny: Settings, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    for number in range(120):
        text = list(SENTENCES)[number % len(SENTENCES)]
        (calls / f"{number:03}.wav").write_bytes(speech_wav(text, VOICES[number % 2]))
    (calls / "cut.wav").write_bytes(speech_wav()[:30])
    (calls / "notes.txt").write_text("no recording")
    plan = make_plan([calls], tiny)
    lost = []

    def lose_a_node(progress: Progress) -> None:
        if not lost and 0 < progress.done < 100:
            lost.append(cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False))

    end = run(
        plan, tmp_path / "ray", engine="ray", address=cluster.address, workers=3, settings=tiny,
        on_progress=lose_a_node, runtime_env={"env_vars": {"SER_CACHE": str(tmp_path)}},
    )  # fmt: skip
    assert lost, "the job was over before a node was lost"
    assert (end.state, end.done, end.failed, end.skipped) == ("finished", 121, 1, 1)
    run(plan, tmp_path / "local", workers=1, settings=tiny)
    for dataset, key in (("recordings", ["file"]), ("segments", ["file", "number"])):
        one, other = (
            getattr(open_output(tmp_path / engine), dataset).to_table().sort_by([(name, "ascending") for name in key])
            for engine in ("ray", "local")
        )
        same = [name for name in one.schema.names if name not in ("analyzed", "seconds", "confidence", "probabilities")]
        same = [name for name in same if name not in ("speakers", "snr_db", "level_db")]
        assert one.select(same).equals(other.select(same))
        for left, right in zip(one["probabilities"].to_pylist(), other["probabilities"].to_pylist(), strict=True):
            assert left == pytest.approx(right, abs=CLOSE)


def test_a_cluster_that_is_not_there_gives_a_sentence(tiny: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(speech_wav())
    with pytest.raises(InvalidSettings, match="There is no Ray cluster at auto"):
        run(make_plan([tmp_path / "a.wav"], tiny), tmp_path / "out", engine="ray", address="auto", settings=tiny)


@pytest.mark.parametrize(
    ("gpus", "sentence"), [(0, "the cluster has no GPU"), (1, "torch finds no GPU with CUDA here")]
)
def test_an_actor_needs_a_gpu_where_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tiny: Settings, tmp_path: Path, gpus: int, sentence: str
) -> None:
    """A node says that it has a GPU, which it has not: an actor is started on it, and finds none."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    (tmp_path / "a.wav").write_bytes(speech_wav())
    node = {"num_cpus": 1, "num_gpus": gpus, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    named = replace(tiny, device="cuda")
    try:
        with pytest.raises(SerError, match=sentence):
            run(
                make_plan([tmp_path / "a.wav"], named),
                tmp_path / "out",
                engine="ray",
                address=cluster.address,
                settings=named,
            )
    finally:
        cluster.shutdown()


ANSWER_BY_WHEEL = """
import sys
import ray
from ser_engine.batch.ray import connect

address, wheel, recording = sys.argv[1:]
connect(address, runtime_env={"py_modules": [wheel]})

@ray.remote
def answer(recording):
    import ser_engine
    return ser_engine.__file__, ser_engine.Analyzer().analyze(recording).transcript.text

print(*ray.get(answer.remote(open(recording, "rb").read()), timeout=300), sep="\\n")
"""


def test_a_cluster_needs_no_more_than_the_wheel(cluster: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, PROJECT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    (tmp_path / "dogs.wav").write_bytes(speech_wav("Dogs are sitting by the door."))
    # From another folder, since Ray's workers import from that of the program, too.
    driver = [sys.executable, "-c", ANSWER_BY_WHEEL, cluster.address, wheel, tmp_path / "dogs.wav"]
    where, text = subprocess.run(driver, cwd=tmp_path, capture_output=True, check=True, text=True).stdout.splitlines()
    assert PROJECT not in Path(where).parents and "py_modules" in where
    assert "dogs are sitting by the door" in text.lower()
