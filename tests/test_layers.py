"""The engine's modules import each other without a cycle; `make lint` checks the layers in pyproject.toml."""

from __future__ import annotations

import grimp
import networkx


def test_no_module_of_the_engine_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph("ser_engine", exclude_type_checking_imports=True, cache_dir=None)
    imports = [(module, other) for module in graph.modules for other in graph.find_modules_directly_imported_by(module)]
    cycles = [sorted(names) for names in networkx.strongly_connected_components(networkx.DiGraph(imports))]
    assert len(imports) > 300
    assert [names for names in cycles if len(names) > 1] == []
