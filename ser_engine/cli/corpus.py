"""List the corpora that can be read, check folders of them, or write a manifest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ser_engine.labels import LABEL_SETS
from ser_engine.settings import Settings

HELP = "list, check and index corpora"
SHARED = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="list|check|manifest")
    roots = argparse.ArgumentParser(add_help=False)
    roots.add_argument(
        "roots", nargs="+", metavar="ROOT", help="folder of a corpus or of several, manifest, or NAME=FOLDER"
    )
    roots.add_argument(
        "--workers", type=int, metavar="N", default=0, help="number of processes (default: one per core)"
    )

    about = "list the corpora that can be read, and the label sets"
    listing = actions.add_parser("list", help=about, description=f"{about.capitalize()}.")
    listing.set_defaults(run=list_corpora)

    about = "compare corpora with their publication, and read every clip"
    check = actions.add_parser("check", parents=[roots], help=about, description=f"{about.capitalize()}.")
    check.add_argument("--labels", choices=LABEL_SETS, default="eight", help="label set (default: eight)")
    check.set_defaults(run=check_corpora)

    about = "write one line per clip, with its length, sample rate and checksum"
    manifest = actions.add_parser("manifest", parents=[roots], help=about, description=f"{about.capitalize()}.")
    manifest.add_argument("-o", "--output", type=Path, required=True, metavar="CLIPS.jsonl", help="file to write")
    manifest.set_defaults(run=write_manifest)


def list_corpora(options: argparse.Namespace, settings: Settings) -> int:
    """Print the corpora and label sets."""
    from ser_engine.data.check_tables import corpora_table

    print(corpora_table())
    return 0


def check_corpora(options: argparse.Namespace, settings: Settings) -> int:
    """Print the counts against the published ones; return 2 if anything cannot be read."""
    from ser_engine.data import check, check_tables

    result = check.check_sources(
        check.find_sources(options.roots), settings, LABEL_SETS[options.labels], options.workers
    )
    for line in check_tables.report_lines(result):
        print(line)
    return 2 if result.failed else 0


def write_manifest(options: argparse.Namespace, settings: Settings) -> int:
    """Write all readable clips; print problems on standard error and return 2 if there are any."""
    from ser_engine.data import check, check_tables

    reports = check.write_source_manifest(check.find_sources(options.roots), options.output, settings, options.workers)
    for report in reports:
        print(f"{report.source.title}: {report.clips} clips, {len(report.missing)} missing")
        for line in check_tables.problem_lines(report):
            print(f"  {line}", file=sys.stderr)
    return 2 if any(report.failed for report in reports) else 0
