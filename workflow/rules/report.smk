# What a person looks at.


rule figures:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
        validation="<results>/{study}/data/validation.json",
        designs=designs,
        fits=fits,
        tables=multiext("<results>/{study}/", "estimates.parquet", "fits.parquet", "groups.parquet"),
    output:
        figures=report(
            directory("<results>/{study}/figures"),
            patterns=["{figure}.svg"],
            category="{study}",
            caption="../report/figure.rst",
        ),
    params:
        section=section("figures", "seed"),
        code=fingerprint("nestwise.figures"),
    log:
        "<results>/{study}/logs/figures.log",
    benchmark:
        "<results>/{study}/benchmarks/figures.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000, 20),
    message:
        "{wildcards.study}: drawing the figures"
    script:
        "../scripts/figures.py"


rule report:
    input:
        validation="<results>/{study}/data/validation.json",
        failures="<results>/{study}/data/failures.parquet",
        designs=designs,
        fits=fits,
        figures="<results>/{study}/figures",
        checks="<results>/{study}/checks.parquet",
        comparison="<results>/{study}/comparison.parquet",
        tables=multiext("<results>/{study}/", "estimates.parquet", "fits.parquet", "groups.parquet"),
    output:
        report=report("<results>/{study}/report.html", category="{study}", caption="../report/report.rst"),
    params:
        section=section("report", "seed"),
        code=fingerprint("nestwise.report"),
    log:
        "<results>/{study}/logs/report.log",
    benchmark:
        "<results>/{study}/benchmarks/report.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000, 10),
    message:
        "{wildcards.study}: writing {output.report}"
    script:
        "../scripts/report.py"
