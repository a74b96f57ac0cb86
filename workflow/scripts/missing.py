from nestwise.missing.saved import describe_saved

from nestwise.data.prepare import load_dataset
from nestwise.progress import step

with step(snakemake.log[0]):
    dataset = load_dataset(snakemake.input.analysis)
    describe_saved(dataset, snakemake.params.section, snakemake.output.described)
