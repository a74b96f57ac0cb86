"""`lmm` beside its peers on the same data in one run; prints a section of Markdown with ratios."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cases import CASES, Case, data_of
from machine import one_thread, seconds, table, timed

HERE = Path(__file__).parent
LIMIT = 300.0
"""Seconds after which a process is stopped."""
SECOND = 20.0
"""A fit that takes longer is not repeated."""
ENGINES = {
    "whole": "nestwise `lmm`, the whole call",
    "lean": "nestwise `lmm`, as much as lmerTest",
    "lmer": "lme4 `lmer`",
    "lmerTest": "lmerTest `lmer` + `summary`",
    "gls": "nlme `gls`",
    "mixedlm": "statsmodels `MixedLM`",
    "mixedlm_rs": "mixedlm-rs `MixedLM`",
}
MODULES = {"mixedlm": "statsmodels.api", "mixedlm_rs": "mixedlm_rs"}
R_PACKAGES = {"lmer": "lme4", "lmerTest": "lmerTest", "gls": "nlme"}
REFERENCE = ("lmer", "gls")
"""Peers the ratios refer to."""
PEER = "NESTWISE_PEER_PYTHON"
"""Environment variable with the Python that has mixedlm-rs, which is no dependency of nestwise."""
NOTES = """\
Every engine maximises the restricted likelihood on one thread. *Cold*: seconds of a new process, with
imports, reading the csv file and the first fit; byte code and compiled code are cached from an earlier
process. *Ever*: the same with empty caches, once after installing. *First* and *second*: from the data in
memory to the result, and the same call again. *Ratio*: how many times as quick as `lmer` (`gls`), the quicker
fit of each. What is in the times: `lmer`, `MixedLM`, mixedlm-rs: estimates, standard errors,
BLUPs. lmerTest and *as much as lmerTest*: Satterthwaite's degrees of freedom besides. *The whole call*: also
profile intervals and curves, derived quantities, F tests, what leaving out each group does, all poolings of
every group with intervals, and fitted values; its cold process also validates the data. A dash: a first fit
of over 20 s is not repeated."""


def command(engine: str, case: Case, file: Path) -> list[str]:
    """What runs one engine on one case."""
    if engine in R_PACKAGES:
        factors = ",".join([*case.groups, *case.categorical])
        return ["Rscript", str(HERE / "lmer.R"), engine, str(file), case.formula, factors, str(SECOND)]
    if engine in MODULES:
        ((group, random),) = case.random.items()
        python = os.environ[PEER] if engine == "mixedlm_rs" else sys.executable
        asked = [MODULES[engine], str(file), case.fixed, group, random, str(SECOND)]
        return [python, str(HERE / "mixedlm.py"), *asked]
    return [sys.executable, str(HERE / "engines.py"), engine, case.name, str(file), str(SECOND)]


def measured(engine: str, case: Case, file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Times and log-likelihood of one engine on one case; `failed` says why there are none."""
    print(f"{case.name} by {engine}", file=sys.stderr)
    done = timed(command(engine, case, file), env=environment, limit=LIMIT)
    if done is None:
        return {"failed": f"over {LIMIT:.0f}"}
    if done.code != 0:
        print(done.output, file=sys.stderr)
        return {"failed": "failed"}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found | {"cold": done.wall}


def compared(engine: str, case: Case, file: Path, folder: Path) -> dict[str, Any]:
    """A measured process after one that filled the caches; that one's time is `ever` where it is ours."""
    if engine in R_PACKAGES:
        return measured(engine, case, file, one_thread())
    ours = engine not in MODULES
    environment = one_thread(folder / (case.name if ours else engine))
    if ours:
        ever = measured(engine, case, file, environment)
    elif not (folder / engine).exists():
        small = folder / "small.csv"
        data_of(CASES[0]).write_csv(small)
        ever = measured(engine, CASES[0], small, environment)
    return measured(engine, case, file, environment) | (
        {"ever": ever.get("cold")} if engine == "whole" else {}
    )


def best(found: Mapping[str, Any]) -> float | None:
    """The quicker of both fits."""
    times = [found[key] for key in ("first", "second") if found.get(key) is not None]
    return min(times, default=None)


def rows_of(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row an engine, with its ratio to the reference."""
    reference = next((best(found[name]) for name in REFERENCE if name in found), None)
    rows = []
    for engine, result in found.items():
        if "failed" in result:
            rows.append([ENGINES[engine], "", result["failed"], "", "", "", ""])
            continue
        own = best(result)
        ratio = f"{reference / own:.2g}" if reference and own and engine not in REFERENCE else ""
        times = [seconds(result.get(key)) for key in ("ever", "cold", "first", "second")]
        rows.append([ENGINES[engine], *times, ratio, f"{result['log_likelihood']:.4f}"])
    return rows


def engines_present() -> tuple[list[str], list[str]]:
    """Engines that can run here, and why the others are skipped."""
    present, skipped = [], []
    for engine, title in ENGINES.items():
        package = R_PACKAGES.get(engine)
        if package and not _r_has(package):
            skipped.append(f"{title} (no Rscript with {package} here)")
        elif engine == "mixedlm_rs" and not os.environ.get(PEER):
            skipped.append(f"{title} (set {PEER} to a Python that has it)")
        else:
            present.append(engine)
    return present, skipped


def _r_has(package: str) -> bool:
    if not shutil.which("Rscript"):
        return False
    asked = ["Rscript", "-e", f"quit(status = !requireNamespace('{package}', quietly = TRUE))"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Run every engine on every case, one after the other."""
    chosen = sys.argv[1:]
    present, skipped = engines_present()
    rows, versions = [], set()
    with tempfile.TemporaryDirectory() as folder:
        for case in [case for case in CASES if not chosen or case.name in chosen]:
            data = data_of(case)
            file = Path(folder) / f"{case.name}.csv"
            data.write_csv(file)
            size = ", ".join(f"{data[group].n_unique():,} {group}" for group in case.groups)
            title = f"{case.name}{' (simulated)' if case.simulated else ''}, {data.height:,} rows, {size}: "
            title += f"`{case.formula}`"
            found = {}
            for engine in [engine for engine in case.by if engine in present]:
                found[engine] = compared(engine, case, file, Path(folder))
                versions.add(found[engine].get("version", ""))
            for row in rows_of(found):
                rows.append([title.replace("|", "\\|"), *row])
                title = ""
    head = ("Data and model", "Engine", "Ever", "Cold", "First", "Second", "Ratio", "Log-likelihood")
    lines = ["## Linear mixed models", "", NOTES, "", table(head, rows, "llrrrrrr"), ""]
    lines += [f"Peers: {'; '.join(sorted(versions - {''}))}."]
    lines += [f"Skipped: {'; '.join(skipped)}."] if skipped else []
    print("\n".join(lines))


if __name__ == "__main__":
    main()
