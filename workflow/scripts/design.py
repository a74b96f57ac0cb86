from nestwise.config.study import Model
from nestwise.data.prepare import load_dataset
from nestwise.design.description import describe_model
from nestwise.progress import step
from nestwise.storage import write_json

with step(snakemake.log[0]):
    dataset = load_dataset(snakemake.input.analysis)
    model = Model.model_validate(snakemake.params.section)
    write_json(snakemake.output.design, describe_model(dataset, snakemake.wildcards.model, model))
