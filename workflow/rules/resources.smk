# What jobs ask for, on a laptop and on a cluster alike: threads, memory, minutes, software.
import os
from logging import getLogger
from pathlib import Path

from nestwise.costs.size import megabytes

# One thread a job: the numerical libraries would otherwise take every core in every job. Each job on a
# cluster reads this file again, so that it holds there too, whatever the submitting shell had set; libraries
# that Snakemake knows get the threads of the rule.
_libraries = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")
os.environ.update({f"{name}_NUM_THREADS": "1" for name in _libraries}, POLARS_MAX_THREADS="1")

# What a study's files come to as text, in MB: known before any job has run, so that a plan can be made.
SIZES = {name: megabytes(SOURCES[name], *RELATIONS[name]) for name in STUDIES}
getLogger("nestwise.costs").info("sizes of data in MB", extra={"sizes": SIZES})  # workflow/plan.py listens


def memory(floor, factor):
    """Megabytes for a job: `factor` times the data of its study, at least `floor`; more at each attempt."""
    return lambda wildcards, attempt: attempt * max(floor, int(factor * SIZES[wildcards.study]))


def runtime(floor, factor):
    """Minutes a job may take: `floor`, and `factor` for each MB of data; more at each attempt."""
    return lambda wildcards, attempt: attempt * (floor + int(factor * SIZES[wildcards.study]))


def chains_at_once(wildcards):
    """Cores for sampling: compiling takes most of the time unless the data are large."""
    return 1 if SIZES[wildcards.study] < 20 else min(4, study_of(wildcards).models[wildcards.model].chains)


# The package is installed into conda environments from here (envs/nestwise.post-deploy.sh).
CHECKOUT = Path(str(workflow.current_basedir)).parents[1]
os.environ.update(NESTWISE_SOURCE=str(CHECKOUT))


# `--sdm apptainer` runs every rule in this image; envs/nestwise.def says how it is built.
container: str(CHECKOUT / "envs" / "nestwise.sif")
