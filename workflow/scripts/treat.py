from nestwise.data.prepare import load_dataset
from nestwise.progress import step
from nestwise.results import save_fit
from nestwise.strategies.treatment import treat

with step(snakemake.log[0]):
    fit = treat(
        load_dataset(snakemake.input.analysis),
        snakemake.wildcards.model,
        snakemake.wildcards.engine,
        snakemake.params.section,
        draws=snakemake.input.draws,
        cores=snakemake.threads,
    )
    save_fit(fit, snakemake.output.fit)
