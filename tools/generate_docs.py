"""Generate the parts of documents and models that follow from results, configurations, corpora and the command line.

`python -m tools.generate_docs` writes them; with `--check` it only names outdated ones, and exits with 1.
In a document, the lines between `<!-- generated: NAME -->` and `<!-- end -->` are generated.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ser_engine.cli.main import VERBS, build_parser
from ser_engine.evaluation.cards import model_languages
from ser_engine.evaluation.record import read_record
from ser_engine.models.cards import LANGUAGES
from ser_engine.models.store import CONFIG, MEASURED, read_config
from tools.doc_tables import BLOCKS, RESULTS, ROOT, all_runs

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
HIDDEN = (argparse._HelpAction, argparse._SubParsersAction)
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all generated parts, or check them; return 1 if any is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything is out of date")
    check = parser.parse_args(arguments).check
    outdated = []
    for path, text in documents():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            outdated.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in outdated:
        print(f"{path} is out of date." if check else f"{path} is written.", file=sys.stderr if check else sys.stdout)
    return 1 if check and outdated else 0


def documents() -> Iterable[tuple[Path, str]]:
    """Yield each document with its generated parts as they should be."""
    yield ROOT / "docs" / "command-line.md", command_line()
    yield RESULTS / "README.md", all_runs()
    yield from models()
    for path in DOCUMENTS:
        if path.name != "command-line.md":
            text = path.read_text(encoding="utf-8")
            yield path, BLOCK.sub(lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}", text)


def models() -> Iterator[tuple[Path, str]]:
    """Yield the config.json of each measured emotion model, with the languages of its training and its tests."""
    for path in sorted((ROOT / "models").glob(f"*/{CONFIG}")):
        config = read_config(path.parent)
        if "UA" in (measured := config.get(MEASURED, {})):
            measured[LANGUAGES] = model_languages(read_record(RESULTS, measured["run"]), config["corpora"])
            yield path, json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def command_line() -> str:
    """Return docs/command-line.md."""
    parts = [
        "# Command line\n\n`pip install .` provides the command `ser`; `python -m ser_engine` is the same. Settings "
        "are environment\nvariables, which [ser_engine/settings.py](../ser_engine/settings.py) lists. Exit codes: "
        "0 for success, 2 for bad input, 130\nwhen interrupted; `evaluate` and `audit` use 1 as well."
    ]
    verbs = _subcommands(build_parser())
    parts.append(
        "\n".join(f"- [`ser {name}`](#ser-{name}): {verb.HELP}" for name, verb in zip(verbs, VERBS, strict=True))
    )
    for name, parser in verbs.items():
        parts.append(_section(f"ser {name}", parser, "##"))
        parts += [_section(f"ser {name} {action}", inner, "###") for action, inner in _subcommands(parser).items()]
    return "\n\n".join(parts) + "\n"


def _section(command: str, parser: argparse.ArgumentParser, level: str) -> str:
    """Return a heading, the description, the usage and the arguments of a command."""
    shown = [action for action in parser._actions if not isinstance(action, HIDDEN)]
    parts = [f"{level} {command}", *([parser.description.strip()] if parser.description else [])]
    if shown:
        usage = [command, "[options]", *(_usage(action) for action in shown if not action.option_strings)]
        parts.append(f"```text\n{' '.join(usage)}\n```")
        parts.append("\n".join(f"- `{_usage(action)}`{f': {action.help}' if action.help else ''}" for action in shown))
    return "\n\n".join(parts)


def _usage(action: argparse.Action) -> str:
    """Return how an argument is written."""
    name = action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper())
    if not isinstance(name, str):
        value = " ".join(name)
    else:
        value = {"+": f"{name} ...", "*": f"[{name} ...]", 0: ""}.get(action.nargs, name)
    return f"{', '.join(action.option_strings)} {value}".strip()


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: command for group in groups for name, command in group.choices.items()}


if __name__ == "__main__":
    sys.exit(main())
