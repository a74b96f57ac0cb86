# Every fit in one vocabulary, judged, and the schools side by side.


rule tables:
    input:
        fits=fits,
        treated=treated,
    output:
        estimates="<results>/{study}/estimates.parquet",
        fits="<results>/{study}/fits.parquet",
        groups="<results>/{study}/groups.parquet",
        tests="<results>/{study}/tests.parquet",
        means="<results>/{study}/means.parquet",
        influence="<results>/{study}/influence.parquet",
        profiles="<results>/{study}/profiles.parquet",
    log:
        "<results>/{study}/logs/tables.log",
    benchmark:
        "<results>/{study}/benchmarks/tables.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
        runtime=runtime(5, 0.1),
    params:
        section=section("tables"),
        code=fingerprint("nestwise.tables"),
    message:
        "{wildcards.study}: stacking the tables"
    script:
        "../scripts/tables.py"


rule diagnose:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
        fits=fits,
        designs=designs,
    output:
        checks="<results>/{study}/checks.parquet",
    log:
        "<results>/{study}/logs/diagnose.log",
    benchmark:
        "<results>/{study}/benchmarks/diagnose.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 25),
        runtime=runtime(5, 0.2),
    params:
        section=section("diagnose"),
        code=fingerprint("nestwise.diagnose.saved"),
    message:
        "{wildcards.study}: judging the fits"
    script:
        "../scripts/diagnose.py"


rule compare:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
        fits=fits,
    output:
        comparison="<results>/{study}/comparison.parquet",
        reconciliation="<results>/{study}/reconciliation.parquet",
    log:
        "<results>/{study}/logs/compare.log",
    benchmark:
        "<results>/{study}/benchmarks/compare.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
        runtime=runtime(5, 0.2),
    params:
        section=section("compare"),
        code=fingerprint("nestwise.compare.saved"),
    message:
        "{wildcards.study}: comparing the engines, conditional and marginal effects"
    script:
        "../scripts/compare.py"
