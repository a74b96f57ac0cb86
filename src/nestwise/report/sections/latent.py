"""How much groups differ where rows have no residual variance: on the scale of the link, and of the data."""

from __future__ import annotations

from nestwise.compare.reading import Answer, noun
from nestwise.names import plural
from nestwise.numbers import NOTHING, fixed, interval, percent, say
from nestwise.report.blocks import Block, Cell, Table, cells
from nestwise.report.record import ReportRecord
from nestwise.report.targets import SCALES_OF_ICC, intraclass, median_ratio, outcome_of
from nestwise.report.words import DERIVED, engine_name
from nestwise.vocabulary import INTERCEPT

LATENT = {
    "binomial": "a cut of a hidden outcome, whose variance is that of the link's distribution",
    "ordinal": "cuts of a hidden outcome, whose variance is that of the link's distribution",
    "poisson": "the logarithm of a row with the typical mean, with variance log(1 + 1/mean)",
    "negative_binomial": "the logarithm of a row with the typical mean, with variance log(1 + 1/mean + 1/k)",
    "gamma": "the logarithm of a row, whose variance is the trigamma function of the shape",
}
"""What stands for the rows on the latent scale, by family."""
SHARES = ("icc", "variance_share", "residual_share")
HUGE = 1e4


def latent_words(record: ReportRecord, each: Answer) -> str:
    """The intraclass correlations of a model in a sentence; "" without any.

    Parameters
    ----------
    record : ReportRecord
        The study.
    each : Answer
        What an engine says of the model.
    """
    outcome = outcome_of(record, each.model)
    said = []
    for scale, row in intraclass(record, each.model, each.engine):
        group = noun(record.study, str(row["group"])) if row["group"] else "group"
        ends = "" if row["lower"] is None else f"{percent(row['lower'])} to {percent(row['upper'])}"
        shown = f"{percent(row['estimate'])}{f' ({ends})' if ends else ''}"
        if scale == "latent":
            said.append(
                f"On the latent scale of the {outcome.link} link {shown} of the variance that the predictors "
                f"leave lies between {plural(group)}."
            )
        else:
            said.append(f"On the scale of the data two rows of one {group} are correlated by {shown}.")
    return " ".join(said)


def latent_blocks(record: ReportRecord, found: list[Answer]) -> list[Block]:
    """Every quantity that follows from the standard deviations, with its scale.

    Parameters
    ----------
    record : ReportRecord
        The study.
    found : list of Answer
        Answers of models that are not Gaussian.
    """
    rows: list[tuple[Cell, ...]] = []
    families: dict[str, None] = {}
    for each in found:
        own = _rows(record, each)
        rows += [cells(Cell(each.model, "", engine_name(each.engine)) if not at else "", *line)
                 for at, line in enumerate(own)]  # fmt: skip
        if own:
            families[outcome_of(record, each.model).family] = None
    if not rows:
        return []
    note = " ".join(f"Latent scale: {LATENT[family]}." for family in families if family in LATENT)
    return [
        Table(
            caption="What follows from the standard deviations",
            head=("Fit", "Quantity", "Scale", "Estimate", f"{record.study.compare.level:.0%} interval"),
            rows=tuple(rows),
            align="lllrr",
            note=f"{note} The median ratio compares two groups drawn at random, the higher with the lower "
            "(Larsen & Merlo 2005). With varying slopes, values hold where predictors are 0.",
        )
    ]


def _rows(record: ReportRecord, each: Answer) -> list[tuple[str | Cell, ...]]:
    outcome = outcome_of(record, each.model)
    made: list[tuple[str | Cell, ...]] = []
    shown: set[tuple[str, str | None]] = set()
    for row in each.estimates:
        if row["component"] == "sd" and row["term"] == INTERCEPT and row["estimate"] and outcome.ratio:
            group = plural(noun(record.study, str(row["group"])))
            made.append((
                Cell(f"median {outcome.ratio}", "", f"two {group} at random"), "ratio",
                _large(median_ratio(row["estimate"])), _limits(row["lower"], row["upper"]),
            ))  # fmt: skip
    for row in each.estimates:
        if row["component"] != "derived" or row["estimate"] is None or ":" in str(row["term"]):
            continue
        scale = SCALES_OF_ICC.get(str(row["scale"]), str(row["scale"] or NOTHING))
        # With intercepts alone the share of the variance is the intraclass correlation once more.
        if row["term"] == "variance_share" and ("icc", row["group"]) in shown and _intercepts(each):
            continue
        shown.add((str(row["term"]), row["group"]))
        detail = noun(record.study, str(row["group"])) if row["group"] else ""
        name = DERIVED.get(str(row["term"]), str(row["term"]).replace("_", " "))
        share = row["term"] in SHARES or str(row["term"]).startswith("icc")
        value = fixed(row["estimate"], 3) if share else say(row["estimate"])
        made.append((Cell(name, "", detail), scale, value, interval(row["lower"], row["upper"])))
    return made


def _intercepts(each: Answer) -> bool:
    return all(terms == (INTERCEPT,) for terms in each.varying().values())


def _limits(lower: float | None, upper: float | None) -> str:
    if lower is None or upper is None:
        return NOTHING
    return f"{_large(median_ratio(lower))} to {_large(median_ratio(upper))}"


def _large(ratio: float) -> str:
    return f"over {HUGE:,.0f}" if ratio > HUGE else say(ratio)
