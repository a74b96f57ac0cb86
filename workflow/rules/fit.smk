# One model, one engine, one folder. A fit that fails is a row with its reason, not a failed job.


rule fit:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
    output:
        fit=directory("<results>/{study}/fits/{model}.{engine}"),
    log:
        "<results>/{study}/logs/{model}.{engine}.log",
    benchmark:
        "<results>/{study}/benchmarks/{model}.{engine}.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 40),
        runtime=runtime(10, 1),
    params:
        section=section("fit", "model", "engine", "seed"),
        code=lambda wildcards: ENGINE_CODE.get(wildcards.engine, "none"),
    message:
        "{wildcards.study}: fitting {wildcards.model} by {wildcards.engine}"
    script:
        "../scripts/fit.py"


# Sampling compiles its model first: it takes longer than the other engines, and gains from several cores.
use rule fit as sample with:
    output:
        fit=directory("<results>/{study}/fits/{model}.{engine,pymc}"),
    threads: chains_at_once
    resources:
        mem_mb=memory(3000, 40),
        runtime=runtime(30, 1),


ruleorder: sample > fit
