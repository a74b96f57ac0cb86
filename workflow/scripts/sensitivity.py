from nestwise.compare.saved import sensitivity_saved
from nestwise.progress import step
from nestwise.storage import write_parquet

with step(snakemake.log[0]):
    tables = {name: snakemake.input[name] for name in ("estimates", "means", "fits")}
    folders = [*snakemake.input.observed, *snakemake.input.treated]
    write_parquet(snakemake.output.sensitivity, sensitivity_saved(tables, folders))
