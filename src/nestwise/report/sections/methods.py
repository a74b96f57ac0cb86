"""What was done, in sentences generated from what was done; how to cite it; how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nestwise.names import several
from nestwise.numbers import count, say
from nestwise.report.blocks import (
    Block,
    Cell,
    Facts,
    Fold,
    Heading,
    References,
    Section,
    Table,
    Text,
    cells,
    figures,
)
from nestwise.report.estimation import (
    gee_sentences,
    generalised_citations,
    glmm_sentences,
    reconciled_sentence,
)
from nestwise.report.procedures import likelihood_citations, likelihood_sentences
from nestwise.report.record import ReportRecord
from nestwise.report.sections.sensitivity import sensitivity_sentence, sensitivity_tables
from nestwise.report.words import quantity

PRIOR_FIGURES = ("prior_predictive",)
PRIORS = {
    "normal": "normal",
    "student_t": "Student t",
    "half_normal": "half-normal",
    "half_student_t": "half-t",
    "exponential": "exponential",
    "lkj": "LKJ",
}
CITATIONS = {
    "lmm": (
        "Bates, D., Mächler, M., Bolker, B. & Walker, S. (2015). Fitting linear mixed-effects models using "
        "lme4. "
        "Journal of Statistical Software 67(1). The profiled likelihood and its parametrisation."
    ),
    "mixedlm": (
        "Seabold, S. & Perktold, J. (2010). statsmodels: econometric and statistical modeling with Python. "
        "Proceedings of the 9th Python in Science Conference."
    ),
    "pymc": (
        "Abril-Pla, O. et al. (2023). PyMC: a modern and comprehensive probabilistic programming framework "
        "in Python. "
        "PeerJ Computer Science 9, e1516."
    ),
    "rhat": (
        "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. & Bürkner, P.-C. (2021). Rank-normalization, "
        "folding, and "
        "localization: an improved R-hat. Bayesian Analysis 16(2), 667-718."
    ),
    "sensitivity": (
        "Kallioinen, N., Paananen, T., Bürkner, P.-C. & Vehtari, A. (2024). Detecting and diagnosing prior "
        "and likelihood sensitivity with power-scaling. Statistics and Computing 34, 57."
    ),
    "pooling": (
        "Gelman, A. & Hill, J. (2007). Data Analysis Using Regression and Multilevel/Hierarchical Models. "
        "Cambridge "
        "University Press. Partial pooling, chapters 11-13."
    ),
}


def _version(record: ReportRecord, tool: str) -> str:
    versions = record.provenance.get("versions") or {}
    return f"{tool} {versions[tool]}" if tool in versions else tool


def _engines(record: ReportRecord) -> list[str]:
    used: list[str] = record.fits["engine"].unique(maintain_order=True).to_list()
    return used


def sentences(record: ReportRecord) -> list[str]:
    """The methods paragraph: a sentence for each thing that was done, and none for what was not."""
    used = _engines(record)
    text = [
        f"Analyses were run with {_version(record, 'nestwise')} on Python "
        f"{(record.provenance.get('versions') or {}).get('python', '3')}."
    ]
    flows = [design["row_flow"] for design in record.designs.values() if design.get("row_flow")]
    if any(flow["n_used"] < flow["n_source"] for flow in flows):
        text.append(
            "Rows with a missing value in a variable of a model were left out of that model; every other "
            "row counted, "
            "also of groups observed only in part. By likelihood this is valid if missingness depends on "
            "nothing but what was observed."
        )
    elif flows:
        text.append("No row of the data was left out of any model.")
    text += [sentence for engine, sentence in _by_engine(record).items() if engine in used]
    text += [sentence for sentence in (reconciled_sentence(record),) if sentence]
    level = f"{record.study.compare.level:.0%}"
    text.append(f"Intervals cover {level}. Standard deviations and correlations are reported, not variances.")
    return text


def _by_engine(record: ReportRecord) -> dict[str, str]:
    methods = {
        engine: several(
            list(dict.fromkeys(method for method in part["method"].to_list() if method))
            or ["as in the table of fits"]
        )
        for (engine,), part in record.fits.group_by("engine", maintain_order=True)
    }
    return {
        "pooled": (
            "Complete pooling takes all rows together, by least squares or, where the outcome is not "
            "Gaussian, by a generalised linear model, with standard errors robust to clustering "
            f"({methods.get('pooled', '')})."
        ),
        "unpooled": (
            "No pooling gives every group coefficients of its own by least squares, with one residual "
            "variance "
            f"({methods.get('unpooled', '')})."
        ),
        "lmm": " ".join(likelihood_sentences(record)),
        "mixedlm": (
            f"The same designs were fitted again with MixedLM of {_version(record, 'statsmodels')}, "
            f"started at the "
            "optimum found, as an independent check of log-likelihood and standard errors."
        ),
        "glmm": " ".join(glmm_sentences(record)),
        "gee": " ".join(gee_sentences(record)),
        "pymc": _bayes(record),
    }


def _bayes(record: ReportRecord) -> str:
    settings = next(iter(_samplers(record)), {})
    numbers = ""
    if settings:
        numbers = (
            f" ({count(settings.get('chains'))} chains of {count(settings.get('draws'))} draws after "
            f"{count(settings.get('tune'))} of warm-up)"
        )
    own = {model for model, engine in record.records if engine == "pymc"}
    families = {record.study.models[model].family == "gaussian" for model in own}
    effects = "group effects were integrated out of the likelihood and drawn exactly afterwards"
    if families == {False}:
        effects = "group effects were sampled with the parameters"
    elif len(families) > 1:
        effects += " where outcomes are Gaussian, and sampled with the parameters where they are not"
    return (
        f"The same models were fitted by Bayes in {_version(record, 'PyMC'.lower())}, sampled with "
        f"{_version(record, 'nutpie')}{numbers}; {effects}. Priors are weakly informative and scaled "
        "to the data, as listed. Posterior medians "
        "are reported with "
        "equal-tailed intervals; convergence was judged by rank-normalised R-hat and effective sample sizes."
    )


def _samplers(record: ReportRecord) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for (model, engine), own in record.records.items():
        if engine == "pymc":
            config = record.study.models[model]
            default = {"chains": config.chains, "draws": config.draws, "tune": config.tune}
            sampler = own.get("sampler")
            found.append(default | (dict(sampler) if isinstance(sampler, Mapping) else {}))
    return found


def priors_section(record: ReportRecord) -> Section | None:
    """Show every prior, and what data the priors alone would expect."""
    tables = {
        model: own["priors"]
        for (model, engine), own in record.records.items()
        if engine == "pymc" and own.get("priors")
    }
    pictures = record.pictures_of(*PRIOR_FIGURES)
    if not tables and not pictures:
        return None
    blocks: list[Block] = []
    for model in sorted(tables, key=lambda model: model != record.main_model):
        table = Table(
            caption=f"Priors of `{model}`, on the scale of the data",
            head=("Parameter", "Prior", "Set by"),
            rows=tuple(_prior(record, prior) for prior in tables[model]),
            align="lll",
        )
        both = (table, *sensitivity_tables(record, model))
        blocks += [Fold(f"Priors of {model}", both)] if blocks else both
    blocks += figures(pictures)
    lead = (
        "Default priors are weak: they rule out values that are absurd on the scale of the outcome and leave "
        "the rest to the data."
    )
    if any(config.priors for config in record.study.models.values()):
        lead += " Some were set in the study file."
    lead += f"{_expected(record)}{sensitivity_sentence(record)}"
    return Section("priors", "Priors", lead, tuple(blocks))


def _expected(record: ReportRecord) -> str:
    """How wide data from the priors alone are, beside the data."""
    own = record.records.get((record.main_model, "pymc"), {})
    ratio = (own.get("prior_predictive") or {}).get("sd_ratio")
    if not ratio:
        return ""
    return (
        f" Data simulated from the priors of `{record.main_model}` alone have an SD "
        f"{say(ratio['median'], 2)} "
        f"times that of the data ({ratio['level']:.0%} of them {say(ratio['lower'], 2)} to "
        f"{say(ratio['upper'], 2)} times)."
    )


def _prior(record: ReportRecord, prior: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    """A row of the prior table: which parameter, which distribution, and who chose it."""
    shown = [
        f"{key} {_short(prior[key])}"
        for key in ("df", "location", "scale", "eta")
        if prior.get(key) is not None and not (key == "location" and prior["distribution"].startswith("half"))
    ]
    text = f"{PRIORS.get(prior['distribution'], prior['distribution'])} ({', '.join(shown)})"
    name = quantity(record.study, prior["component"], prior.get("group"), prior["term"])
    source = "study file" if prior.get("source") == "declared" else "default"
    return name, Cell(text, "", str(prior.get("note") or "")), Cell(source)


def _short(value: float) -> str:
    return count(int(value)) if float(value).is_integer() else say(value)


def methods_section(record: ReportRecord) -> Section:
    """Write the methods paragraph and how to cite it."""
    used = _engines(record)
    keys = ["pooling", *(engine for engine in ("lmm", "mixedlm", "pymc") if engine in used)]
    keys += ["rhat"] if "pymc" in used else []
    keys += ["sensitivity"] if any(own.get("sensitivity") for own in record.records.values()) else []
    version = (record.provenance.get("versions") or {}).get("nestwise", "")
    own = f"nestwise{f', version {version}' if version else ''}: multilevel studies from one file. Software."
    blocks: tuple[Block, ...] = (
        Text(" ".join(sentences(record))),
        Heading("How to cite"),
        References(
            (
                own,
                *(CITATIONS[key] for key in keys),
                *likelihood_citations(record),
                *generalised_citations(record),
            )
        ),
    )
    lead = "A paragraph for the methods section of a paper, generated from what was run."
    return Section("methods", "Methods", lead, blocks)


def provenance_section(record: ReportRecord) -> Section:
    """Versions, hashes and seed: what is needed to get the same numbers again."""
    facts = record.provenance
    blocks: list[Block] = []
    pairs = [
        (label, str(facts[key]))
        for key, label in (
            ("seed", "Seed"),
            ("command", "Command"),
            ("platform", "Machine"),
            ("date", "Date"),
        )
        if facts.get(key) not in (None, "")
    ]
    if pairs:
        blocks.append(Facts(tuple(pairs)))
    if facts.get("versions"):
        rows = tuple(cells(str(tool), str(version)) for tool, version in facts["versions"].items())
        blocks.append(Fold("Versions", (Table("Versions", ("Tool", "Version"), rows, "ll"),)))
    hashes = {str(name): str(value) for name, value in (facts.get("hashes") or {}).items()}
    sets = (
        record.fits.filter(pl.col("analysis_hash") != "")
        .select("model", "analysis_hash")
        .unique(maintain_order=True)
    )
    hashes |= {f"analysis rows of {model}": value for model, value in sets.rows()}
    if hashes:
        rows = tuple(cells(name, Cell(f"`{value}`")) for name, value in hashes.items())
        blocks.append(Fold("Hashes", (Table("Hashes", ("Of", "Hash"), rows, "ll"),)))
    seed = facts.get("seed")
    lead = "The same files, versions and seed give the same numbers" + (
        f": the seed was {seed}, and every random stream is keyed on names, not on the order of the work."
        if seed is not None
        else "."
    )
    return Section("provenance", "Versions, hashes and seed", lead, tuple(blocks))
