from nestwise.compare.saved import sensitivity_saved
from nestwise.progress import step
from nestwise.storage import write_parquet

with step(snakemake.log[0]):
    folders = [*snakemake.input.fits, *snakemake.input.treated]
    write_parquet(snakemake.output.sensitivity, sensitivity_saved(folders, **snakemake.params.section))
