"""Who is still there at each visit, and how those did who left."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes

from nestwise.figures.colours import CHAIN_COLORS, INK, MUTED, PARTIAL
from nestwise.figures.drawing import Drawing, Wording, cannot, column, drawn, plain
from nestwise.figures.means import LINES, MARKERS, MOST_LINES, level_of
from nestwise.figures.theme import new_figure, quiet
from nestwise.names import plural, several
from nestwise.numbers import percent, say

ALL = "all"
COMPLETED = "completed"
PANELS = 3


@drawn
def dropout_curves(table: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Share of the subjects of each arm that are still observed, with intervals.

    Parameters
    ----------
    table : DataFrame
        In the schema DROPOUT.
    wording : Wording
        Names; `wording.time` is the axis.
    group : str
        Grouping factor of the subjects.

    Raises
    ------
    Refusal
        Where nobody left, or there are too many arms.
    """
    arms = [arm for arm in table["arm"].unique(maintain_order=True).to_list() if arm != ALL] or [ALL]
    if table.height == 0 or int(table["left"].sum()) == 0 or len(arms) > MOST_LINES:
        raise cannot("dropout_curves", "nobody left, or there are too many arms")
    figure = new_figure(3.2)
    axes = figure.subplots()
    for k, arm in enumerate(arms):
        own = table.filter(pl.col("arm") == arm).sort("position")
        _staircase(axes, own, k, plain(arm, 40))
    ticks = table.filter(pl.col("arm") == arms[0]).sort("position")
    axes.set_xticks(column(ticks, "time"), [plain(label, 12) for label in ticks["visit"]])
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel(visit_axis(ticks, wording))
    axes.set_ylabel(f"{plural(wording.group(group))} still observed")
    quiet(axes, "y")
    if arms != [ALL]:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    last = table.filter(pl.col("position") == table["position"].max())
    ends = [
        f"{plain(row['arm'], 30)} {percent(row['proportion'])}"
        for row in last.filter(pl.col("arm").is_in(arms)).iter_rows(named=True)
    ]
    caption = (
        f"Share of {plural(wording.group(group))} observed at each visit or later, with {level_of(table)} "
        f"intervals. At the last visit: {several(ends)}."
    )
    alt = "Falling curves of the share still observed by visit. " + caption
    data = table.select(
        "arm", "visit", "time", "n", "at_risk", "left", "remaining", "proportion", "lower", "upper"
    )
    return Drawing("dropout_curves", figure, caption, alt, data)


def visit_axis(ticks: pl.DataFrame, wording: Wording) -> str:
    """What an axis of visits is called: time, where the names of the visits are their times.

    Parameters
    ----------
    ticks : DataFrame
        `visit` and `time` of each.
    wording : Wording
    """
    named = ticks["visit"].cast(pl.Float64, strict=False)
    timed = bool(((named - ticks["time"]).abs() < 1e-9).fill_null(value=False).all())
    return wording.axis(wording.time) if wording.time and timed else "visit, at its usual time"


def _staircase(axes: Axes, own: pl.DataFrame, k: int, label: str) -> None:
    color, times = CHAIN_COLORS[k % len(CHAIN_COLORS)], column(own, "time")
    axes.fill_between(times, column(own, "lower"), column(own, "upper"), color=color, alpha=0.13, linewidth=0)
    axes.plot(
        times, column(own, "proportion"), color=color, marker=MARKERS[k], linestyle=LINES[k], label=label
    )


@drawn
def dropout_means(table: pl.DataFrame, wording: Wording, *, group: str) -> Drawing:
    """Observed means of those who left after each visit, beside those who stayed.

    Parameters
    ----------
    table : DataFrame
        In the schema COHORT_MEANS.
    wording : Wording
        Names; `wording.time` is the axis.
    group : str
        Grouping factor of the subjects.

    Raises
    ------
    Refusal
        With fewer than two cohorts, or too many arms.
    """
    arms = [arm for arm in table["arm"].unique(maintain_order=True).to_list() if arm != ALL] or [ALL]
    cohorts = table.sort("last")["last"].unique(maintain_order=True).to_list()
    if len(cohorts) < 2 or len(arms) > PANELS:
        raise cannot("dropout_means", "nobody left, or there are too many arms")
    figure = new_figure(3.4)
    panels = figure.subplots(1, len(arms), squeeze=False, sharey=True)[0]
    for axes, arm in zip(panels, arms, strict=True):
        own = table.filter(pl.col("arm") == arm).drop_nulls("mean")
        for k, cohort in enumerate(cohorts):
            _cohort(axes, own.filter(pl.col("last") == cohort).sort("position"), k, len(cohorts))
        if arm != ALL:
            axes.set_title(plain(arm, 40))
        axes.set_xlabel(wording.axis(wording.time or "visit"))
        quiet(axes, "y")
    panels[0].set_ylabel(plain(f"mean of {wording.axis(wording.outcome)}", 36))
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=3)
    caption = _caption(table, arms, wording, plural(wording.group(group)))
    alt = "Lines of observed means, one for each visit after which some left. " + caption
    data = table.select("arm", "cohort", "visit", "time", "n", "mean", "std_error")
    return Drawing("dropout_means", figure, caption, alt, data)


def _cohort(axes: Axes, own: pl.DataFrame, k: int, total: int) -> None:
    """The means of one cohort, their size beside the last."""
    if own.height == 0:
        return
    stayed = own["cohort"][0] == COMPLETED
    color = PARTIAL.color if stayed else MUTED if total > MOST_LINES else CHAIN_COLORS[1 + k % 5]
    label = (
        "seen to the end"
        if stayed
        else "left earlier"
        if total > MOST_LINES
        else f"last seen at {own['visit'][-1]}"
    )
    times, means = column(own, "time"), column(own, "mean")
    axes.plot(
        times, means, color=color, marker=MARKERS[0 if stayed else 1 + k % 5], label=plain(label, 30),
        linestyle="-" if stayed else "--", linewidth=2.2 if stayed else 1.3,
    )  # fmt: skip
    if total <= MOST_LINES:
        axes.annotate(
            f"{own['n'][-1]:,}", (times[-1], means[-1]), xytext=(5, 3), textcoords="offset points",
            fontsize=7.5, color=INK,
        )  # fmt: skip


def _caption(table: pl.DataFrame, arms: list[str], wording: Wording, who: str) -> str:
    """What those who left had at their last visit, beside those who stayed at the same visits."""
    said = []
    for arm in arms:
        own = table.filter(pl.col("arm") == arm).drop_nulls("mean")
        ends = own.filter((pl.col("position") == pl.col("last")) & (pl.col("cohort") != COMPLETED))
        stayed = own.filter(pl.col("cohort") == COMPLETED).select("position", pl.col("mean").alias("stayed"))
        both = ends.join(stayed, on="position", how="inner")
        if both.height == 0:
            continue
        size = column(both, "n")
        left, kept = (float(column(both, name) @ size / size.sum()) for name in ("mean", "stayed"))
        where = "" if arm == ALL else f"{plain(arm, 30)} "
        said.append(f"{where}{say(left)} against {say(kept)}")
    compared = (
        f" Mean at the last visit of those who left, against that of those who stayed at the same visits: "
        f"{several(said)}."
        if said
        else ""
    )
    few = table["last"].n_unique() <= MOST_LINES
    sizes = "; a number beside a line's end says how many" if few else ""
    return (
        f"Observed means of {wording.name(wording.outcome)} by the visit at which {who} were seen "
        f"last{sizes}.{compared} If leaving had nothing to do with the outcome, the lines would differ by "
        "chance only."
    )
