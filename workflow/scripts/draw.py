from nestwise.data.prepare import load_dataset
from nestwise.progress import step
from nestwise.treatment import draw_all, save_draws

with step(snakemake.log[0]):
    dataset = load_dataset(snakemake.input.analysis)
    draws = draw_all(dataset, snakemake.wildcards.model, snakemake.wildcards.kind, snakemake.params.section)
    save_draws(draws, snakemake.output.draws)
