"""A change re-runs what depends on it and nothing else: shown by dry runs on a finished run."""

import pytest

AFTER_FITS = {"tables", "diagnose", "compare", "sensitivity", "figures", "report"}
INGEST = {"read", "validate", "prepare", "missing"}
DESIGNS = {"design levels", "design slopes"}
FITS = {"levels pooled", "levels unpooled", "levels lmm", "slopes lmm", "slopes pymc"}


def _short(jobs: set[str]) -> set[str]:
    """Messages of the rules cut to their verbs."""
    cut = set()
    for job in jobs:
        words = job.removeprefix("clinics: ").split()
        verb = {"fitting": "fit", "laying": "design", "stacking": "tables", "judging": "diagnose",
                "comparing": "compare", "drawing": "figures", "writing": "report", "reading": "read",
                "validating": "validate", "preparing": "prepare", "describing": "missing",
                "one": "sensitivity"}[words[0]]  # fmt: skip
        if verb == "fit":
            cut.add(f"{words[1]} {words[3]}")
        elif verb == "design":
            cut.add(f"design {words[-1]}")
        else:
            cut.add(verb)
    return cut


def test_a_finished_run_has_nothing_to_do(finished_run):
    done = finished_run.snakemake("--cores", "1")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("clinics.yaml", "title: Twelve", "title: Our twelve", {"report"}),
        ("clinics.yaml", "Does the dose", "How well does the dose", {"report"}),
        ("clinics.yaml", "unit: points", "unit: score", {"figures", "report"}),
        ("clinics.yaml", "pain ~ dose + (1", "pain ~ dose + size + (1",
         {"design levels", "levels pooled", "levels unpooled", "levels lmm"} | AFTER_FITS),
        ("config.yaml", "seed: 3", "seed: 4", {"slopes pymc"} | AFTER_FITS),
        ("clinics.csv", "\n0,", "\n0,9", INGEST | DESIGNS | FITS | AFTER_FITS),
        ("src/nestwise/bayes/engine.py", "\n\n", "\n# edited\n", {"slopes pymc"} | AFTER_FITS),
        ("src/nestwise/fit/pooled.py", "\n\n", "\n# edited\n", {"levels pooled"} | AFTER_FITS),
        ("src/nestwise/report/render.py", "\n\n", "\n# edited\n", {"report"}),
        ("src/nestwise/seeds.py", "\n\n", "\n# edited\n",
         {"levels lmm", "slopes lmm", "slopes pymc", "figures"} | AFTER_FITS),
    ],
)  # fmt: skip
def test_an_edit_runs_what_depends_on_it(copied_run, file, old, new, expected):
    copied_run.edit(file, old, new)
    assert _short(copied_run.planned()) == expected


def test_data_that_were_only_touched_run_nothing(copied_run):
    (copied_run.folder / "clinics.csv").touch()
    assert copied_run.planned() == set()


def test_an_added_engine_fits_once(copied_run):
    copied_run.edit("clinics.yaml", "- lmm\n    - pymc", "- lmm\n    - pymc\n    - pooled")
    assert _short(copied_run.planned()) == {"slopes pooled"} | AFTER_FITS
