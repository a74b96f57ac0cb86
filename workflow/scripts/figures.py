from pathlib import Path

from nestwise.config.study import Study
from nestwise.data.prepare import load_dataset
from nestwise.figures.gallery import draw_all
from nestwise.figures.inputs import gather_inputs
from nestwise.progress import step

with step(snakemake.log[0]):
    study = Study.model_validate(snakemake.params.section["study"])
    folder = Path(snakemake.output.figures).parent
    dataset = load_dataset(snakemake.input.analysis)
    draw_all(
        gather_inputs(folder, study, dataset, snakemake.params.section["seed"]), snakemake.output.figures
    )
