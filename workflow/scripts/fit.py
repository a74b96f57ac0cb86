from nestwise.config.study import Model
from nestwise.data.prepare import load_dataset
from nestwise.engines import fit_model
from nestwise.progress import step
from nestwise.results import save_fit

with step(snakemake.log[0]):
    fit = fit_model(
        load_dataset(snakemake.input.analysis),
        snakemake.wildcards.model,
        Model.model_validate(snakemake.params.section["model"]),
        snakemake.wildcards.engine,
        seed=snakemake.params.section["seed"],
        level=snakemake.params.section["level"],
        cores=snakemake.threads,
    )
    save_fit(fit, snakemake.output.fit)
