# Every fit in one vocabulary, judged, and the schools side by side.


rule tables:
    input:
        fits=fits,
    output:
        estimates="<results>/{study}/estimates.parquet",
        fits="<results>/{study}/fits.parquet",
        groups="<results>/{study}/groups.parquet",
    params:
        section=section("tables"),
        code=fingerprint("nestwise.tables"),
    log:
        "<results>/{study}/logs/tables.log",
    benchmark:
        "<results>/{study}/benchmarks/tables.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
    message:
        "{wildcards.study}: stacking the tables"
    script:
        "../scripts/tables.py"


rule diagnose:
    input:
        fits=fits,
        designs=designs,
    output:
        checks="<results>/{study}/checks.parquet",
    params:
        code=fingerprint("nestwise.diagnose"),
    log:
        "<results>/{study}/logs/diagnose.log",
    benchmark:
        "<results>/{study}/benchmarks/diagnose.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
    message:
        "{wildcards.study}: judging the fits"
    script:
        "../scripts/diagnose.py"


rule compare:
    input:
        fits=fits,
    output:
        comparison="<results>/{study}/comparison.parquet",
    params:
        code=fingerprint("nestwise.compare.saved"),
    log:
        "<results>/{study}/logs/compare.log",
    benchmark:
        "<results>/{study}/benchmarks/compare.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
    message:
        "{wildcards.study}: comparing the engines"
    script:
        "../scripts/compare.py"
