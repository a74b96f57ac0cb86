from pathlib import Path

from nestwise.config.study import DataDescription
from nestwise.data.read import read
from nestwise.data.typed import save_typed
from nestwise.progress import step

with step(snakemake.log[0]):
    described = DataDescription.model_validate(snakemake.params.section)
    source = Path(snakemake.input.source)
    typed = read(source, described.data, described.variables, described.groups, described.time)
    save_typed(typed, snakemake.output.typed)
