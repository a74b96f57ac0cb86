# From the source to validated data.


rule read:
    input:
        source=lambda wildcards: SOURCES[wildcards.study],
    output:
        typed="<results>/{study}/data/typed.parquet",
    log:
        "<results>/{study}/logs/read.log",
    benchmark:
        "<results>/{study}/benchmarks/read.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
        runtime=runtime(5, 0.1),
    params:
        section=section("read"),
        code=fingerprint("nestwise.data.read"),
    message:
        "{wildcards.study}: reading {input.source}"
    script:
        "../scripts/read.py"


rule validate:
    input:
        typed="<results>/{study}/data/typed.parquet",
    output:
        validation="<results>/{study}/data/validation.json",
        failures="<results>/{study}/data/failures.parquet",
    log:
        "<results>/{study}/logs/validate.log",
    benchmark:
        "<results>/{study}/benchmarks/validate.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, 20),
        runtime=runtime(5, 0.2),
    params:
        section=section("validate"),
        code=fingerprint("nestwise.data.contract"),
    message:
        "{wildcards.study}: validating"
    script:
        "../scripts/validate.py"


rule prepare:
    input:
        typed="<results>/{study}/data/typed.parquet",
        validation="<results>/{study}/data/validation.json",
        relations=lambda wildcards: RELATIONS[wildcards.study],
    output:
        analysis="<results>/{study}/data/analysis.parquet",
    log:
        "<results>/{study}/logs/prepare.log",
    benchmark:
        "<results>/{study}/benchmarks/prepare.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
        runtime=runtime(5, 0.1),
    params:
        section=section("prepare"),
        code=fingerprint("nestwise.data.prepare"),
    message:
        "{wildcards.study}: preparing the analysis data"
    script:
        "../scripts/prepare.py"
