# nestwise: one study file in, one report out. The rules stand in the order in which data flow.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/cluster.smk"
include: "workflow/rules/restart.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"


pathvars:
    results=RUN.results,


include: "workflow/rules/ingest.smk"
include: "workflow/rules/design.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/missing.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        expand("<results>/{study}/report.html", study=STUDIES),


onsuccess:
    print(finished())
