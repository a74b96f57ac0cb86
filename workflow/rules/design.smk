# From data to the design of a model: which rows, which columns, which groups.


rule design:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
    output:
        design="<results>/{study}/models/{model}/design.json",
    log:
        "<results>/{study}/logs/{model}.design.log",
    benchmark:
        "<results>/{study}/benchmarks/{model}.design.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 20),
        runtime=runtime(5, 0.1),
    params:
        section=section("design", "model"),
        code=fingerprint("nestwise.design.build"),
    message:
        "{wildcards.study}: laying out model {wildcards.model}"
    script:
        "../scripts/design.py"
