from nestwise.progress import step
from nestwise.tables import save_tables, stack

with step(snakemake.log[0]):
    tables = stack([*snakemake.input.fits, *snakemake.input.treated], **snakemake.params.section)
    save_tables(tables, **dict(snakemake.output.items()))
