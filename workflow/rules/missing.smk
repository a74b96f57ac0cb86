# What is missing, and the same models under every strategy that treats it.


rule missing:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
    output:
        described=directory("<results>/{study}/missing"),
    log:
        "<results>/{study}/logs/missing.log",
    benchmark:
        "<results>/{study}/benchmarks/missing.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 20),
        runtime=runtime(5, 0.2),
    params:
        section=section("missing"),
        code=fingerprint("nestwise.missing.saved"),
    message:
        "{wildcards.study}: describing what is missing"
    script:
        "../scripts/missing.py"


rule draw:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
    output:
        draws="<results>/{study}/imputations/{model}.{kind}.npz",
    log:
        "<results>/{study}/logs/{model}.{kind}.draws.log",
    benchmark:
        "<results>/{study}/benchmarks/{model}.{kind}.draws.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 60),
        runtime=runtime(60, 5),
    params:
        section=section("draw", "model", "seed"),
        code=fingerprint("nestwise.strategies.gaps"),
    message:
        "{wildcards.study}: imputing for {wildcards.model} ({wildcards.kind})"
    script:
        "../scripts/draw.py"


rule treat:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
        draws=draws_of,
    output:
        fit=directory("<results>/{study}/strategies/{model}.{engine}.{treatment}"),
    log:
        "<results>/{study}/logs/{model}.{engine}.{treatment}.log",
    benchmark:
        "<results>/{study}/benchmarks/{model}.{engine}.{treatment}.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 60),
        runtime=runtime(10, 5),
    params:
        section=section("treat", "model", "engine", "treatment", "seed"),
        code=lambda wildcards: TREATMENT_CODE.get(wildcards.engine, "none"),
    message:
        "{wildcards.study}: fitting {wildcards.model} by {wildcards.engine} under {wildcards.treatment}"
    script:
        "../scripts/treat.py"


# As for fits: sampling takes longer than the other engines, and gains from several cores.
use rule treat as sample_treated with:
    output:
        fit=directory("<results>/{study}/strategies/{model}.{engine,pymc}.{treatment}"),
    threads: chains_at_once
    resources:
        mem_mb=memory(3000, 60),
        runtime=runtime(30, 5),


ruleorder: sample_treated > treat


rule sensitivity:
    input:
        estimates="<results>/{study}/estimates.parquet",
        means="<results>/{study}/means.parquet",
        fits="<results>/{study}/fits.parquet",
        observed=fits,
        treated=treated,
    output:
        sensitivity="<results>/{study}/sensitivity.parquet",
    log:
        "<results>/{study}/logs/sensitivity.log",
    benchmark:
        "<results>/{study}/benchmarks/sensitivity.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
        runtime=runtime(5, 0.1),
    params:
        code=fingerprint("nestwise.compare.strategies"),
    message:
        "{wildcards.study}: one question under every strategy for missing data"
    script:
        "../scripts/sensitivity.py"
