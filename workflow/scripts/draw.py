from nestwise.data.prepare import load_dataset
from nestwise.progress import step
from nestwise.strategies.gaps import save_gaps

with step(snakemake.log[0]):
    save_gaps(
        load_dataset(snakemake.input.analysis),
        snakemake.wildcards.model,
        snakemake.params.section,
        snakemake.output.draws,
    )
