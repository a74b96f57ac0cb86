"""`lmm` beside statsmodels and lme4 on the same data in one run; prints a section of Markdown."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import CASES, Case, data_of
from machine import one_thread, seconds, table, timed

HERE = Path(__file__).parent
LIMIT = 300.0
"""Seconds after which a process is stopped."""
SECOND = 20.0
"""A fit that takes longer is not repeated."""
ENGINES = {"lmm": "nestwise `lmm`", "mixedlm": "statsmodels `MixedLM`", "lmer": "lme4 `lmer`"}
NOTES = """\
Every engine reads the same csv file and maximises the restricted likelihood, on one thread. *Cold*: seconds
of a new process, with imports, reading and the first fit. *First* and *second*: that fit alone, and the same
call again. All start from the formula. Besides the maximum, `lmm` gives Satterthwaite degrees of freedom,
profile intervals, all three poolings of every group and their intervals, and fitted values; its cold process
also validates the data. A dash: a first fit of over 20 s is not repeated."""


def command(engine: str, case: Case, file: Path) -> list[str]:
    """What runs one engine on one case."""
    if engine == "lmer":
        varying = case.random
        return ["Rscript", str(HERE / "lmer.R"), str(file), case.fixed, case.group, varying, str(SECOND)]
    return [sys.executable, str(HERE / "engines.py"), engine, case.name, str(file), str(SECOND)]


def row_of(engine: str, case: Case, file: Path) -> tuple[list[str], str]:
    """A row of the table, and what the engine says of its version."""
    print(f"{case.name} by {engine}", file=sys.stderr)
    done = timed(command(engine, case, file), env=one_thread(), limit=LIMIT)
    if done is None:
        return [ENGINES[engine], f"over {LIMIT:.0f}", "", "", ""], ""
    if done.code != 0:
        print(done.output, file=sys.stderr)
        return [ENGINES[engine], "failed", "", "", ""], ""
    found = json.loads(done.output.strip().splitlines()[-1])
    times = [seconds(value) for value in (done.wall, found["first"], found["second"])]
    return [ENGINES[engine], *times, f"{found['log_likelihood']:.4f}"], found.get("version", "")


def engines_present() -> tuple[list[str], str]:
    """Engines that can run here, and which are skipped."""
    if shutil.which("Rscript"):
        asked = ["Rscript", "-e", "quit(status = !requireNamespace('lme4', quietly = TRUE))"]
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return list(ENGINES), ""
    return ["lmm", "mixedlm"], "Skipped: lme4 `lmer` (no Rscript with lme4 here)."


def main() -> None:
    """Run every engine on every case, one after the other."""
    present, skipped = engines_present()
    rows, versions = [], set()
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            data = data_of(case)
            file = Path(folder) / f"{case.name}.csv"
            data.write_csv(file)
            size = f"{data.height:,} rows, {data[case.group].n_unique():,} groups"
            title = f"{case.name}{' (simulated)' if case.simulated else ''}, {size}: `{case.formula}`"
            for engine in present:
                row, told = row_of(engine, case, file)
                rows.append([title.replace("|", "\\|"), *row])
                versions.add(told)
                title = ""
    head = ("Data and model", "Engine", "Cold", "First", "Second", "Log-likelihood")
    told = ", ".join(sorted(versions - {""}))
    lines = ["## Linear mixed models", "", NOTES, "", table(head, rows, "llrrrr"), ""]
    print("\n".join([*lines, *([f"Peer: {told}."] if told else []), *([skipped] if skipped else [])]))


if __name__ == "__main__":
    main()
