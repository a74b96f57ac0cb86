# What a person looks at.


rule figures:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
        validation="<results>/{study}/data/validation.json",
        designs=designs,
        fits=fits,
        tables=stacked,
        reconciliation="<results>/{study}/reconciliation.parquet",
        sensitivity="<results>/{study}/sensitivity.parquet",
        missing="<results>/{study}/missing",
    output:
        figures=report(
            directory("<results>/{study}/figures"),
            patterns=["{figure}.svg"],
            category="{study}",
            caption="../report/figure.rst",
        ),
    log:
        "<results>/{study}/logs/figures.log",
    benchmark:
        "<results>/{study}/benchmarks/figures.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000, 20),
        runtime=runtime(10, 0.2),
    params:
        section=section("figures", "seed"),
        code=fingerprint("nestwise.figures"),
    message:
        "{wildcards.study}: drawing the figures"
    script:
        "../scripts/figures.py"


rule report:
    input:
        source=lambda wildcards: SOURCES[wildcards.study],
        validation="<results>/{study}/data/validation.json",
        failures="<results>/{study}/data/failures.parquet",
        designs=designs,
        fits=fits,
        figures="<results>/{study}/figures",
        checks="<results>/{study}/checks.parquet",
        comparison="<results>/{study}/comparison.parquet",
        reconciliation="<results>/{study}/reconciliation.parquet",
        sensitivity="<results>/{study}/sensitivity.parquet",
        missing="<results>/{study}/missing",
        tables=stacked,
    output:
        report=report(
            "<results>/{study}/report.html",
            category="{study}",
            caption="../report/report.rst",
        ),
    log:
        "<results>/{study}/logs/report.log",
    benchmark:
        "<results>/{study}/benchmarks/report.tsv"
    conda:
        "../../envs/nestwise.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
        runtime=runtime(5, 0.1),
    params:
        section=section("report", "seed"),
        code=fingerprint("nestwise.report"),
    message:
        "{wildcards.study}: writing {output.report}"
    script:
        "../scripts/report.py"
