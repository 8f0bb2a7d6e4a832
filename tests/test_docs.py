"""The documents: their links, commands and citations hold, and what is generated in them is up to date."""

from __future__ import annotations

import doctest
import os
import re
import shlex
from pathlib import Path

import pytest

from ser_engine.cli.main import build_parser
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.data.corpora.text_registry import TEXT_CORPORA
from ser_engine.settings import PROJECT
from tools import generate_docs

DOCUMENTS = (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md")))
BIBLIOGRAPHY = (PROJECT / "docs" / "papers.bib").read_text(encoding="utf-8")
FORBIDDEN = re.compile(r"\b(over)?heard\b|\bopinions?\b|\bstrangers?\b|\btraps?\b|\btold\b|paper-[1-5]", re.IGNORECASE)
# "Okabe et al., 2018", "Friedman (1989)", "Haq & Jackson (2010)"
CITATION = re.compile(r"\b([A-Z][\w-]+)(?: et al\.| (?:&|and) [A-Z][\w-]+)?,? \(?((?:19|20)\d\d)\)?")
NO_AUTHORS = {"ACL", "EmoBox", "ICASSP", "Interspeech", "LREC"}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def entries() -> dict[str, tuple[str, str]]:
    """Return the first author's last name, as written in "… et al.", and the year of every entry."""
    found = {}
    for key, body in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", BIBLIOGRAPHY, re.MULTILINE | re.DOTALL):
        author = re.search(r"author = \{\{?([^,}]+)", body)
        year = re.search(r"year = \{(\d+)\}", body)
        assert author and "title = {" in body, key
        found[key] = (author[1].split()[-1], year[1] if year else "")
    return found


def test_generated_parts_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_docs.main(["--check"]) == 0, capsys.readouterr().err


def test_the_readme_is_short() -> None:
    assert len(text_of(PROJECT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", text_of(path)):
        target, _, anchor = link.partition("#")
        if target.startswith(("http:", "https:")):
            continue
        file = path.parent / target if target else path
        assert file.exists(), link
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_are_understood(path: Path) -> None:
    for block in re.findall(r"```sh\n(.*?)```", text_of(path), re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line.partition("#")[0])
            if words[:1] == ["ser"]:
                options = build_parser().parse_args(words[1:])
                config = getattr(options, "config", None)
                assert config is None or "<" in str(config) or (PROJECT / config).is_file(), line
            if words[:1] == ["make"]:
                assert f"\n{words[1]}:" in text_of(PROJECT / "Makefile"), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_words_are_the_field_s(path: Path) -> None:
    assert not FORBIDDEN.findall(text_of(path))


def test_every_source_and_corpus_has_an_entry() -> None:
    sources = {folder.name for folder in (PROJECT / "configs").iterdir()} - {"ours"}
    assert sources | set(CORPORA) | set(TEXT_CORPORA) | {"emobox", "whisper"} <= set(entries())


def test_every_citation_has_an_entry() -> None:
    known = set(entries().values())
    files = [*DOCUMENTS, *(path for name in ("ser_engine", "ui", "pages") for path in (PROJECT / name).rglob("*.py"))]
    missing = {
        f"{path.name}: {author} {year}"
        for path in files
        for author, year in CITATION.findall(text_of(path))
        if author not in NO_AUTHORS and (author, year) not in known
    }
    assert not missing


def test_examples_of_the_api_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    for name in [name for name in os.environ if name.startswith("SER_")]:
        monkeypatch.delenv(name)
    failed, attempted = doctest.testfile(str(PROJECT / "docs" / "api.md"), module_relative=False)
    assert attempted > 20 and not failed
