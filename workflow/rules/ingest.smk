# From the source to validated data.


rule read:
    input:
        source=lambda wildcards: SOURCES[wildcards.study],
    output:
        typed="<results>/{study}/data/typed.parquet",
    params:
        section=section("read"),
        code=fingerprint("nestwise.data.read"),
    log:
        "<results>/{study}/logs/read.log",
    benchmark:
        "<results>/{study}/benchmarks/read.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
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
    params:
        section=section("validate"),
        code=fingerprint("nestwise.data.contract"),
    log:
        "<results>/{study}/logs/validate.log",
    benchmark:
        "<results>/{study}/benchmarks/validate.tsv"
    threads: 1
    resources:
        mem_mb=memory(1500, 20),
    message:
        "{wildcards.study}: validating"
    script:
        "../scripts/validate.py"


rule prepare:
    input:
        typed="<results>/{study}/data/typed.parquet",
        validation="<results>/{study}/data/validation.json",
    output:
        analysis="<results>/{study}/data/analysis.parquet",
    params:
        section=section("prepare"),
        code=fingerprint("nestwise.data.prepare"),
    log:
        "<results>/{study}/logs/prepare.log",
    benchmark:
        "<results>/{study}/benchmarks/prepare.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
    message:
        "{wildcards.study}: preparing the analysis data"
    script:
        "../scripts/prepare.py"
