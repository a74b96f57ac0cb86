"""What the next run would do and what it would cost: `python workflow/plan.py [arguments of snakemake]`.

A dry run of the same command line, profile included; its jobs are listed by study and step with the time and
memory that they took before, or that jobs like them took in the benchmarks, beside what they ask for.
"""

import logging
import sys
from pathlib import Path

from snakemake.cli import main as snakemake

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from nestwise.costs.plan import Planned, read_measured, rows, step_name, table

JOB = "JOB_INFO"  # the event that Snakemake logs for every job of a dry run


class Listener(logging.Filter):
    """Keeps what is said of data and of planned jobs, and lets only warnings through to the terminal."""

    def __init__(self):
        super().__init__()
        self.sizes, self.jobs = {}, []

    def filter(self, record):
        """Note a job or sizes; everything else but warnings is dropped."""
        event = getattr(record, "event", None)
        if hasattr(record, "sizes"):
            self.sizes |= record.sizes
        elif getattr(event, "name", event) == JOB and "study" in (record.wildcards or {}):
            self.jobs.append(planned(record, self.sizes))
        return record.levelno >= logging.WARNING


def planned(record, sizes):
    """A job as the package wants it."""
    wildcards = record.wildcards
    return Planned(
        step=step_name(record.rule_name, wildcards.get("engine"), wildcards.get("treatment")),
        study=wildcards["study"],
        size=sizes[wildcards["study"]],
        benchmark=str(record.benchmark or ""),
        minutes=int(record.resources.get("runtime", 0)),
        memory=int(record.resources.get("mem_mb", 0)),
    )


def main():
    """Run Snakemake dry, and print the table."""
    listener = Listener()
    for name in ("snakemake.logging", "nestwise.costs"):
        logging.getLogger(name).addFilter(listener)
    logging.getLogger("nestwise.costs").setLevel(logging.INFO)
    try:
        snakemake(["--dry-run", *([] if asks_for_cores() else ["--cores", "1"]), *sys.argv[1:]])
    except SystemExit as end:
        if end.code:
            raise
    print(table(rows(listener.jobs, read_measured())))


def asks_for_cores():
    """Whether the command line or a profile says where jobs run."""
    words = ("--cores", "-c", "--jobs", "-j", "--profile", "--workflow-profile")
    return any(argument.split("=")[0] in words for argument in sys.argv[1:])


if __name__ == "__main__":
    main()
