"""Write results/dry-runs.json: what each experiment of the papers without a result would take on this machine.

    python -m tools.dry_runs [--data FOLDER]

An experiment that is in the file is left as it is; remove the file to count all of them again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from ser_engine.errors import SerError
from ser_engine.evaluation.record import read_records
from ser_engine.io import write_json
from ser_engine.settings import Settings
from ser_engine.training.dry_run import estimate
from ui.results.unfinished import DRY_RUNS as FILE
from ui.results.unfinished import find_not_run

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Count what is not in the file; return 1 if something could not be counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the corpora (default: SER_DATA)")
    options = parser.parse_args()
    settings = Settings.from_env(**({"data": options.data} if options.data else {}))
    file = ROOT / "results" / FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    records, _ = read_records(ROOT / "results")
    waiting, _ = find_not_run(ROOT / "configs", {record.id for record in records})
    known = {experiment.name: known[experiment.name] for experiment in waiting if experiment.name in known}
    failed = 0
    for experiment in tqdm([each for each in waiting if each.name not in known]):
        source, system, protocol = experiment.name.split("/")
        try:
            found = estimate(ROOT / "configs" / source / f"{system}.toml", protocol, settings)
        except SerError as error:
            failed += 1
            tqdm.write(f"{experiment.name}: {error}", file=sys.stderr)
            continue
        known[experiment.name] = found.to_dict()
        write_json(file, dict(sorted(known.items())))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
