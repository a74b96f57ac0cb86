from nestwise.compare.saved import compare_saved
from nestwise.progress import step
from nestwise.storage import write_parquet

with step(snakemake.log[0]):
    write_parquet(snakemake.output.comparison, compare_saved(snakemake.input.fits))
