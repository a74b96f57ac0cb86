from nestwise.compare.saved import compare_saved, reconcile_saved
from nestwise.data.prepare import load_dataset
from nestwise.progress import step
from nestwise.storage import write_parquet

with step(snakemake.log[0]):
    dataset = load_dataset(snakemake.input.analysis)
    write_parquet(snakemake.output.comparison, compare_saved(snakemake.input.fits))
    write_parquet(
        snakemake.output.reconciliation,
        reconcile_saved(snakemake.input.fits, dataset, snakemake.params.section),
    )
