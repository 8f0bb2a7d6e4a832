"""The benchmark of the service, for a moment and with a tiny model."""

from __future__ import annotations

from pathlib import Path

from benchmarks import service
from tests.tiny_models import heads_analyzer


def test_the_figures_are_those_of_a_running_service(tmp_path: Path) -> None:
    tiny = heads_analyzer(tmp_path)
    environ = {"SER_MODELS_DIR": str(tmp_path / "models"), "SER_MODEL": "tiny-heads", "SER_TRANSCRIBE": "no"}
    figures = service.measure(
        load_s=1.0, many_s=1.0, alone=3, many=4, environ={**environ, "SER_SPEAKERS": "off"}, analyzer=tiny
    )
    assert figures["serve_errors"] == 0 and figures["serve_load"]["errors"] == {}
    assert figures["serve_load"]["answers"] > 0 and figures["serve_p95_ratio"] > 0
    assert figures["serve_answers_per_s"] > 0
    assert figures["serve_together_processor_s"].keys() == {"1", "2", "4", "8"}


def test_what_is_no_answer_is_an_error() -> None:
    met = service.ask("http://127.0.0.1:9", clients=2, seconds=0.0, least=2)
    assert met["errors"] == {"ConnectError": 4} and not met["seconds"]
