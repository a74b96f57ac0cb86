from pathlib import Path

from nestwise.config.study import Study
from nestwise.progress import step
from nestwise.provenance import account
from nestwise.report.collect import collect
from nestwise.report.render import render
from nestwise.storage import write_text

with step(snakemake.log[0]):
    section = snakemake.params.section
    made = account(section["study"], section["seed"], snakemake.input.source, snakemake.params.code)
    study = Study.model_validate(section["study"])
    record = collect(Path(snakemake.output.report).parent, study, snakemake.wildcards.study, made)
    write_text(snakemake.output.report, render(record))
