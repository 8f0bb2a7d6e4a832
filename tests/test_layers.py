"""The engine's modules import each other without a cycle; `make lint` checks the layers in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys

import grimp
import networkx

from ser_engine.settings import PROJECT


def test_no_module_of_the_engine_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph("ser_engine", exclude_type_checking_imports=True, cache_dir=None)
    imports = [(module, other) for module in graph.modules for other in graph.find_modules_directly_imported_by(module)]
    cycles = [sorted(names) for names in networkx.strongly_connected_components(networkx.DiGraph(imports))]
    assert len(imports) > 300
    assert [names for names in cycles if len(names) > 1] == []


# Each takes up to four seconds to load, longer than a clip takes to be analyzed.
SLOW = (
    "torch",
    "transformers",
    "whisper",
    "silero_vad",
    "numba",
    "librosa",
    "sklearn",
    "pandas",
    "scipy",
    "noisereduce",
)


def test_an_answer_loads_nothing_that_takes_longer_than_the_answer() -> None:
    program = (
        "import sys; from ser_engine.cli.main import main; code = main(['analyze', 'tests/data/man_dogs.ogg']); "
        f"print('loaded', *(name for name in {SLOW!r} if name in sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, check=True)
    *_, answer, loaded = done.stdout.splitlines()
    assert "Dogs are sitting by the door." in answer and loaded == "loaded"
