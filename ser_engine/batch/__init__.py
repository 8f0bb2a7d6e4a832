"""Jobs over many recordings: from files, folders and object stores to Parquet datasets, on one machine or a cluster.

>>> from ser_engine.batch import make_plan, open_output, run  # doctest: +SKIP
>>> run(make_plan(["calls/", "s3://bucket/2026/"]), "out")  # doctest: +SKIP
>>> open_output("out").recordings.to_table(["file", "label", "confidence"]).to_pandas()  # doctest: +SKIP

`plan` says what is done to which sources, `sources` lists these, `worker` analyzes, `local` and `ray` are the two
engines, `output` writes and reads the datasets, `job` connects them, `report` draws a page of the results. This
package needs the extra "batch".
"""

from ser_engine.batch.job import run
from ser_engine.batch.output import Datasets, open_output
from ser_engine.batch.plan import Plan, make_plan, read_plan
from ser_engine.batch.progress import Progress, read_progress

__all__ = [
    "Datasets",
    "Plan",
    "Progress",
    "make_plan",
    "open_output",
    "read_plan",
    "read_progress",
    "run",
]
