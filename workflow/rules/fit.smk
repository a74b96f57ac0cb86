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
    params:
        section=section("fit", "model", "engine", "seed"),
        code=lambda wildcards: ENGINE_CODE.get(wildcards.engine, "none"),
    message:
        "{wildcards.study}: fitting {wildcards.model} by {wildcards.engine}"
    script:
        "../scripts/fit.py"
