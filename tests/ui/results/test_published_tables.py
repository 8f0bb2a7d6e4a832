"""What the papers print of single emotions, on the results page and in its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.published import read_published
from ser_engine.settings import PROJECT
from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page, text
from ui.results.published_tables import title

MISPRINTED = "islam/table-17/ResNet50V2/BanglaSER"
"""Its accuracy, 17.69, fits none of its other figures: see its note."""
FIGURE = '[[figure]]\nid = "islam/table-32/HuBERT/TESS"\npaper = "islam"\ntable = "32"\nsystem = "HuBERT"\n'
TABLE = """
[[table]]
figure = "islam/table-32/HuBERT/TESS"
table = "33"
labels = ["happy", "sad"]
confusion = [[90.0, 10.0], [25.0, 75.0]]
note = "A misprint."

[table.per_class]
happy = { precision = 96.39, recall = 100.0, f1 = 98.16, support = 80 }
"""


def test_the_shipped_tables_fit_their_figures() -> None:
    published = read_published(PROJECT / "results")
    printed = [figure for figure in published.values() if figure.classes_table]
    assert len(printed) == 33 + 10
    for figure in printed:
        for row in figure.per_class.values():
            assert all(0 <= row[key] <= 100 for key in ("precision", "recall", "f1"))
        if figure.confusion and not figure.classes_note:
            assert all(sum(row) == pytest.approx(100, abs=0.1) for row in figure.confusion)
        if figure.per_class and "WA" in figure.metrics and figure.id != MISPRINTED:
            support = sum(row["support"] for row in figure.per_class.values())
            right = sum(row["recall"] * row["support"] for row in figure.per_class.values()) / support
            assert right == pytest.approx(figure.metrics["WA"], abs=6), figure.id  # as printed, misprints included
    names = {title(figure) for figure in published.values() if figure.per_class}
    assert any(name.startswith("Gomes et al., table II: SVM") for name in names)


def test_a_table_without_its_figure_is_an_error_and_one_of_another_shape_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "published.toml").write_text(FIGURE)
    (tmp_path / "published-tables.toml").write_text(TABLE.replace("TESS", "other"))
    with pytest.raises(InvalidRecord, match="has a table of islam/table-32/HuBERT/other, which is not in"):
        read_published(tmp_path)
    (tmp_path / "published-tables.toml").write_text(TABLE.replace('"happy", ', ""))
    (figure,) = read_published(tmp_path).values()
    assert figure.confusion == () and figure.per_class["happy"]["recall"] == 100.0


def test_a_paper_s_table_is_beside_the_run_that_repeats_it(folder: Path, write: Write) -> None:
    (folder / "published.toml").write_text(FIGURE)
    (folder / "published-tables.toml").write_text(TABLE)
    write("a-run", entry())
    at = page("The papers")
    assert not at.exception and "Single emotions" in [header.value for header in at.header]
    assert "A misprint." in text(at) and "No run here repeats it yet" in text(at)
    write("b-run", entry() | {"published": ["islam/table-32/HuBERT/TESS"]})
    at = page("The papers")
    assert not at.exception and "b-run: " in text(at) and "No run here" not in text(at)
