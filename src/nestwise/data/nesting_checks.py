"""How grouping factors lie in each other: nested, crossed, or with ids that start again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import polars as pl

from nestwise.config.study import Group
from nestwise.data.dataset import ROW
from nestwise.data.derive import group_keys
from nestwise.data.validation import DataCheck, failed, passed, place, shorten
from nestwise.errors import Problem
from nestwise.names import did_you_mean
from nestwise.vocabulary import FEW_GROUPS

RESTART_SHARE = 0.5
"""Share of (parent, id) pairs with an id of several parents from which ids are taken to start again."""

Relation = Literal["nested", "crossed", "restarts"]


@dataclass(frozen=True)
class PairFacts:
    """What the data say of a factor's ids in relation to another's.

    `children` different ids, of which `shared` lie in more than one parent; `shared_pairs` is the
    share of the (parent, id) pairs they make; `example` is one of them with its first parents;
    `counted` says whether the ids of nearly every parent run 1, 2, ... k; `complete` whether every
    id occurs in every parent.
    """

    children: int
    shared: int
    shared_pairs: float
    example: tuple[str, tuple[str, ...]] | None
    counted: bool
    complete: bool

    @property
    def relation(self) -> Relation:
        """Nested, crossed, or ids that start again in every parent (a guess from their numbering)."""
        if self.shared == 0:
            return "nested"
        return "restarts" if self.counted and not self.complete else "crossed"


def declared_within(groups: Mapping[str, Group], columns: Sequence[str]) -> dict[str, str | None]:
    """The declared nesting among factors that exist, without cycles and unknown parents."""
    present = {name: group.within for name, group in groups.items() if name in columns}
    return {
        name: parent if parent in present and name not in _ancestors(parent, groups) else None
        for name, parent in present.items()
    }


def _ancestors(name: str | None, groups: Mapping[str, Group]) -> list[str]:
    chain: list[str] = []
    while name is not None and name in groups and name not in chain:
        chain.append(name)
        name = groups[name].within
    return chain


def check_declaration(groups: Mapping[str, Group], source: str) -> list[DataCheck]:
    """Whether `within` names other grouping factors and runs in no circle."""
    checks = []
    for name, group in groups.items():
        if group.within is None:
            continue
        where = f"{source}, groups.{name}.within"
        if group.within not in groups:
            remedy = did_you_mean(group.within, groups) or f"declare {group.within} under groups too"
            problem = Problem(f"{group.within!r} is not a grouping factor of this study", where, remedy)
            checks.append(failed("groups.within", "error", problem, [name]))
        elif name in (chain := _ancestors(group.within, groups)):
            circle = " within ".join([name, *chain[: chain.index(name)], name])
            problem = Problem(
                f"the nesting runs in a circle ({circle})",
                where,
                "leave `within` out of the outermost factor",
            )
            checks.append(failed("groups.within", "error", problem, [name]))
    return checks or [passed("groups.within", "error", "The declared nesting runs in no circle.", groups)]


def pair_facts(frame: pl.LazyFrame, child: str, parent: Sequence[str]) -> PairFacts:
    """Look at the pairs of ids that occur together; one streaming pass, only the pairs are held."""
    key = pl.concat_str([pl.col(name).cast(pl.String) for name in parent], separator=" / ")
    single = len(parent) == 1
    pairs: Any = (
        frame.select(pl.col(child).alias("child"), (pl.col(parent[0]) if single else key).alias("parent"))
        .drop_nulls()
        .unique()
        .collect(engine="streaming")
    )
    homes = pairs.group_by("child").agg(pl.len().alias("n"))
    shared = homes.filter(pl.col("n") > 1)
    example = None
    if shared.height:
        name = shared.select(pl.col("child").sort().first()).item()
        inside = pairs.filter(pl.col("child") == name)["parent"].sort().head(3)
        example = (str(name), tuple(map(str, inside)))
    parents = pairs["parent"].n_unique()
    return PairFacts(
        children=homes.height,
        shared=shared.height,
        shared_pairs=float(shared["n"].sum()) / max(pairs.height, 1),
        example=example,
        counted=bool(shared.height) and _counted(pairs),
        complete=pairs.height == homes.height * parents,
    )


def _counted(pairs: pl.DataFrame) -> bool:
    numbers = pairs.with_columns(pl.col("child").cast(pl.String).cast(pl.Int64, strict=False).alias("id"))
    if numbers.height == 0 or numbers["id"].null_count():
        return False
    per = numbers.group_by("parent").agg(
        (pl.col("id").min().is_in([0, 1]) & (pl.col("id").max() - pl.col("id").min() + 1 == pl.len())).alias(
            "runs"
        )
    )
    return float(per["runs"].sum()) >= 0.8 * per.height


def check_nesting(
    frame: pl.LazyFrame, within: Mapping[str, str | None], source: str
) -> tuple[list[DataCheck], dict[str, dict[str, Any]]]:
    """Hold the declared nesting against the data, and find what was not declared.

    Returns
    -------
    checks : list of DataCheck
    relations : dict
        For each factor: nested_in, crossed_with (lists of factors) and restarts_in (a factor or None).
    """
    checks: list[DataCheck] = []
    relations: dict[str, dict[str, Any]] = {
        name: {"nested_in": [], "crossed_with": [], "restarts_in": None} for name in within
    }
    for first, second in combinations(within, 2):
        pair = _declared_pair(first, second, within)
        if pair is not None:
            child, parent = pair
            facts = pair_facts(frame, child, group_keys(parent, within))
            verdict = _judge_declared(child, parent, facts, relations, source)
        elif second in group_keys(first, within) or first in group_keys(second, within):
            continue
        else:
            verdict = _judge_found(frame, first, second, relations, source)
        if verdict:
            checks.append(verdict)
    if not checks:
        checks = [passed("groups.nesting", "error", "The groups lie in each other as declared.", within)]
    return checks, relations


def _judge_declared(
    child: str, parent: str, facts: PairFacts, relations: dict[str, dict[str, Any]], source: str
) -> DataCheck | None:
    relations[child]["nested_in"].append(parent)
    if facts.shared == 0:
        return None
    seen = _seen(child, parent, facts)
    formula = f"(1 | {parent}/{child})"
    if facts.shared_pairs >= RESTART_SHARE:
        relations[child]["restarts_in"] = parent
        problem = Problem(
            f"the ids of {child} start again in every {parent} ({seen}), so a {child} is known by its "
            f"{parent} and its own id together",
            place(source, child),
            f"write {formula} in formulas; if it is the same {child} each time, take `within` away",
        )
        return failed("groups.restarts", "warning", problem, [child, parent], count=facts.shared)
    problem = Problem(
        f"{child} is declared within {parent}, and {facts.shared} of its {facts.children} ids occur in more "
        f"than one ({seen})",
        place(source, child),
        f"correct the ids; if it is the same {child}, the two are crossed: take `within` away; if not, give "
        f"each {child} an id of its own",
    )
    return failed("groups.nesting", "error", problem, [child, parent], count=facts.shared)


def _judge_found(
    frame: pl.LazyFrame, first: str, second: str, relations: dict[str, dict[str, Any]], source: str
) -> DataCheck | None:
    """Two factors of which neither is declared within the other."""
    ways = ((first, second), (second, first))
    facts = {child: pair_facts(frame, child, [parent]) for child, parent in ways}
    nested = [(child, parent) for child, parent in ways if facts[child].relation == "nested"]
    if nested:
        child, parent = nested[0]
        relations[child]["nested_in"].append(parent)
        problem = Problem(
            f"every {child} lies in one {parent}, which is not declared"
            + (", and every one of those holds one: the two name the same groups" if len(nested) > 1 else ""),
            place(source, child),
            f"declare groups: {child}: {{within: {parent}}} if that is so by design",
        )
        return failed(
            "groups.undeclared_nesting", "info", problem, [child, parent], count=facts[child].children
        )
    restarting = [(child, parent) for child, parent in ways if facts[child].relation == "restarts"]
    if len(restarting) != 1:
        relations[first]["crossed_with"].append(second)
        relations[second]["crossed_with"].append(first)
        return None
    child, parent = restarting[0]
    relations[child]["restarts_in"] = parent
    problem = Problem(
        f"the ids of {child} seem to start again in every {parent} ({_seen(child, parent, facts[child])})",
        place(source, child),
        f"if these are different, declare groups: {child}: {{within: {parent}}} and write "
        f"(1 | {parent}/{child}); if they are the same, nothing is to be done",
    )
    return failed("groups.restarts", "warning", problem, [child, parent], count=facts[child].shared)


def _declared_pair(first: str, second: str, within: Mapping[str, str | None]) -> tuple[str, str] | None:
    if within[first] == second:
        return first, second
    return (second, first) if within[second] == first else None


def _seen(child: str, parent: str, facts: PairFacts) -> str:
    assert facts.example is not None, "only asked for ids that are shared"
    label, homes = facts.example
    return f"{child} {shorten(label)} occurs in {parent} {', '.join(map(shorten, homes))}"


def check_sizes(
    frame: pl.LazyFrame, within: Mapping[str, str | None], groups: Mapping[str, Group], source: str
) -> tuple[list[DataCheck], dict[str, dict[str, Any]]]:
    """Count groups and their rows; few groups and groups of one row raise an alarm (rule 12).

    Returns
    -------
    checks : list of DataCheck
    sizes : dict
        For each factor: n_groups, min, median, max, singletons, label.
    """
    checks: list[DataCheck] = []
    sizes: dict[str, dict[str, Any]] = {}
    for name in within:
        keys = group_keys(name, within)
        counted: Any = (
            frame.select(ROW, *keys)
            .drop_nulls(list(keys))
            .group_by(keys)
            .agg(pl.len().alias(".n"))
            .select(
                pl.len().alias("n_groups"),
                pl.col(".n").min().alias("min"),
                pl.col(".n").median().alias("median"),
                pl.col(".n").max().alias("max"),
                (pl.col(".n") == 1).sum().alias("singletons"),
            )
            .collect(engine="streaming")
        )
        sizes[name] = {"label": groups[name].label} | counted.row(0, named=True)
        checks += _size_checks(name, sizes[name], source)
    if not checks:
        checks = [passed("groups.size", "warning", "Groups are many and large enough.", within)]
    return checks, sizes


def _size_checks(name: str, size: Mapping[str, Any], source: str) -> list[DataCheck]:
    n_groups, singletons, where = size["n_groups"], size["singletons"], place(source, name)
    checks = []
    if n_groups == 1:
        problem = Problem(
            f"{name} has one group, so nothing can be learnt of how groups differ",
            where,
            "use the column that tells the groups apart, or a model without it",
        )
        checks.append(failed("groups.few", "warning", problem, [name], count=1))
    elif 1 < n_groups < FEW_GROUPS:
        problem = Problem(
            f"{name} has {n_groups} groups, fewer than {FEW_GROUPS}: the variance between them is uncertain",
            where,
            "trust t tests with Satterthwaite degrees of freedom, and look at the posterior of the variance",
        )
        checks.append(failed("groups.few", "warning", problem, [name], count=n_groups))
    if singletons:
        all_of_them = singletons == n_groups
        problem = Problem(
            f"{singletons:,} of the {n_groups:,} groups of {name} "
            f"{'has' if singletons == 1 else 'have'} one row"
            + (": its variance cannot be told from the residual" if all_of_them else ""),
            where,
            "choose a coarser grouping factor"
            if all_of_them
            else "such groups lean on the others, as they should",
        )
        checks.append(failed("groups.singletons", "warning", problem, [name], count=singletons))
    return checks
