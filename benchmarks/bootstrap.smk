# A parametric bootstrap in batches: `scale.py` runs it, and so does a cluster, through any profile:
#   snakemake --snakefile benchmarks/bootstrap.smk --config data=analysis.parquet script=benchmarks/scale.py \
#     --executor slurm --jobs 8
# Set k of the bootstrap depends on the seed and k alone, so that the batches fold into the same whole whatever
# their number. It is the pattern for every work that is split: a wildcard FIRST-LAST, and one rule that folds.
import sys
from pathlib import Path

from nestwise.costs.batches import batches

DATA, SCRIPT = config["data"], str(Path(config["script"]).resolve())
BATCHES = batches(int(config.get("refits", 2000)), int(config.get("batch", 500)))


rule whole:
    input:
        expand("batches/{batch}.json", batch=BATCHES),
    output:
        "bootstrap.json",
    localrule: True
    shell:
        "{sys.executable} {SCRIPT} fold {output} {input}"


rule batch:
    input:
        DATA,
    output:
        "batches/{batch}.json",
    benchmark:
        "benchmarks/{batch}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * max(2000, int(12 * input.size_mb)),
        runtime=lambda wildcards, attempt: 60 * attempt,
    shell:
        "{sys.executable} {SCRIPT} replicate {input} {wildcards.batch} {output}"
