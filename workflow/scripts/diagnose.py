from nestwise.config.study import Model
from nestwise.data.prepare import load_dataset
from nestwise.diagnose.saved import diagnose_saved
from nestwise.progress import step
from nestwise.storage import write_parquet

with step(snakemake.log[0]):
    dataset = load_dataset(snakemake.input.analysis)
    models = {name: Model.model_validate(section) for name, section in snakemake.params.section.items()}
    write_parquet(
        snakemake.output.checks,
        diagnose_saved(snakemake.input.fits, snakemake.input.designs, dataset, models),
    )
