"""Find leaks between the training and test clips of a split.

Leaks are shared speakers, identical clips and augmented copies; shared sentences and properties that identify a
corpus are warnings. The exit code is 0 if nothing leaks, 1 if something does, and 2 if the table cannot be read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from ser_engine.data.corpora.registry import CORPORA
from ser_engine.settings import Settings

HELP = "find leaks between training and test clips"
SHARED = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("table", type=Path, metavar="SPLIT.csv|MANIFEST", help="table of clips")
    parser.add_argument("--corpus", choices=CORPORA, help="corpus of the file names (default: detected)")
    parser.add_argument(
        "--root", type=Path, metavar="FOLDER", help="folder of the audio, to compare content and sample rates as well"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Print the findings; return 1 if there are leaks."""
    from ser_engine.data import audit
    from ser_engine.data.audit_rows import read_table

    rows = read_table(options.table, options.corpus or "", options.root)
    findings = audit.audit(tqdm(rows, unit="clip", leave=False, disable=None))
    print(
        json.dumps(findings.to_dict(), ensure_ascii=False, indent=2) if options.json else audit.findings_table(findings)
    )
    return 1 if findings.leaks else 0
