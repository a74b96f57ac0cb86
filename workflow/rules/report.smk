# What a person looks at.


rule figures:
    input:
        analysis="<results>/{study}/data/analysis.parquet",
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
        section=section("report", "seed"),
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
