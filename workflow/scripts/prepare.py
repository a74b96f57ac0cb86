from nestwise.config.study import DataDescription
from nestwise.data.prepare import prepare, save_dataset
from nestwise.data.relation import read_relations
from nestwise.data.typed import load_typed
from nestwise.data.validation import validation_from_json
from nestwise.progress import step
from nestwise.storage import read_json

with step(snakemake.log[0]):
    described = DataDescription.model_validate(snakemake.params.section)
    dataset = prepare(
        load_typed(snakemake.input.typed),
        validation_from_json(read_json(snakemake.input.validation)),
        snakemake.wildcards.study,
        described.groups,
        described.time,
        described.derive,
        relations=read_relations(described.groups, snakemake.input.relations),
    )
    save_dataset(dataset, snakemake.output.analysis)
