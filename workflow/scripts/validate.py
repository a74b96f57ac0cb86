from nestwise.config.study import DataDescription
from nestwise.data.contract import validate
from nestwise.data.typed import load_typed
from nestwise.progress import step
from nestwise.storage import write_json, write_parquet

with step(snakemake.log[0]):
    described = DataDescription.model_validate(snakemake.params.section)
    validation = validate(load_typed(snakemake.input.typed), described, source=described.data.source)
    write_json(snakemake.output.validation, validation.to_json())
    write_parquet(snakemake.output.failures, validation.failures)
