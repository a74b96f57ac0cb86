from nestwise.data.prepare import load_dataset
from nestwise.missing.saved import describe_study
from nestwise.progress import step

with step(snakemake.log[0]):
    dataset = load_dataset(snakemake.input.analysis)
    describe_study(dataset, snakemake.params.section, snakemake.output.described)
