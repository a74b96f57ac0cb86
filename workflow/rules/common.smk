# What the rules have in common: functions only. Study files are read and checked here, before any
# job starts, so that a mistake in one of them costs a second and is said in a sentence.
import os
import re
import sys
from pathlib import Path

from nestwise.config import sections
from nestwise.config.load import load_run, load_studies
from nestwise.config.treatments import draws_kind, treatments
from nestwise.data.source import locate_all, locate_relations
from nestwise.engines import ENGINES
from nestwise.errors import NestwiseError
from nestwise.provenance import fingerprint


def lasting(path):
    """A path that stays the same when the whole folder is moved."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def read_configuration():
    """The checked configuration, the studies by name, and the files each takes its data from."""
    try:
        run = load_run(config)
        studies = {file.name: file for file in load_studies(run.studies)}
        roots = [Path.cwd(), *map(Path, run.data_roots)]
        wanted = {name: (file.study.data.source, file.path) for name, file in studies.items()}
        sources = {name: lasting(path) for name, path in locate_all(wanted, roots).items()}
        relations = {
            name: [lasting(path) for path in locate_relations(file.study.groups, file.path, roots)]
            for name, file in studies.items()
        }
    except NestwiseError as error:
        sys.exit(f"nestwise cannot start:\n{error}")
    return run, studies, sources, relations


RUN, STUDIES, SOURCES, RELATIONS = read_configuration()


wildcard_constraints:
    study="|".join(map(re.escape, STUDIES)),
    model=r"[A-Za-z0-9_-]+",
    engine=r"[a-z]+",
    kind="mi",
    treatment=r"[a-z0-9_]+(-\d+)?",


def study_of(wildcards):
    return STUDIES[wildcards.study].study


def section(step, *names):
    """A params function: the one section of the study file that a step reads."""

    def read(wildcards):
        chosen = [RUN.seed if name == "seed" else wildcards[name] for name in names]
        return getattr(sections, f"{step}_section")(study_of(wildcards), *chosen)

    return read


# Fingerprint of the code that each engine runs.
ENGINE_CODE = {name: fingerprint("nestwise.engines", module) for name, (module, _) in ENGINES.items()}
TREATMENT_CODE = {
    name: fingerprint("nestwise.strategies.treatment", module) for name, (module, _) in ENGINES.items()
}


def fits(wildcards):
    """Folders of every fit of a study."""
    models = study_of(wildcards).models
    pairs = [f"{name}.{engine}" for name, model in models.items() for engine in model.engines]
    return expand("<results>/{study}/fits/{pair}", study=wildcards.study, pair=pairs)


def treated(wildcards):
    """Folders of every fit under a strategy for missing data."""
    listed = treatments(study_of(wildcards))
    names = [f"{each.model}.{each.engine}.{each.label}" for each in listed]
    return expand("<results>/{study}/strategies/{name}", study=wildcards.study, name=names)


def draws_of(wildcards):
    """The imputations that a strategy takes, if any."""
    kind = draws_kind(study_of(wildcards), wildcards.treatment)
    return expand("<results>/{{study}}/imputations/{{model}}.{kind}.npz", kind=kind or [])


def designs(wildcards):
    """Records of every design of a study."""
    models = list(study_of(wildcards).models)
    return expand("<results>/{study}/models/{model}/design.json", study=wildcards.study, model=models)


def stacked(wildcards):
    """Tables in which every fit of a study is stacked."""
    names = ("estimates", "fits", "groups", "tests", "means", "influence", "profiles")
    return [f"{RUN.results}/{wildcards.study}/{name}.parquet" for name in names]


def finished():
    """The last words of a run."""
    reports = [f"  {Path(RUN.results, name, 'report.html')}" for name in STUDIES]
    return "\n".join(["Reports:", *reports])
