"""One model by statsmodels' MixedLM or a package with its interface, twice; prints JSON.

`mixedlm.py MODULE FILE FIXED GROUP RANDOM LIMIT`, MODULE `statsmodels.api` or `mixedlm_rs`. Imports nothing
of nestwise, so that a peer's own interpreter can run it.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.metadata import version
from time import perf_counter


def main() -> None:
    """Fit twice, unless the first fit takes longer than the limit."""
    import pandas as pd

    module, file, fixed, group, random, limit = sys.argv[1:]
    mixed = import_module(module).MixedLM
    data = pd.read_parquet(file) if file.endswith(".parquet") else pd.read_csv(file)
    texts = [name for name in data.columns if not pd.api.types.is_numeric_dtype(data[name])]
    data = data.astype(dict.fromkeys(texts, "category"))
    varying = None if random == "1" else f"~{random}"

    def fit() -> float:
        done = mixed.from_formula(fixed, data, groups=group, re_formula=varying).fit(reml=True)
        done.random_effects  # noqa: B018 (statsmodels computes them when they are asked for)
        return float(done.llf)

    began = perf_counter()
    log_likelihood = fit()
    result = {"first": perf_counter() - began, "second": None, "log_likelihood": log_likelihood}
    if perf_counter() - began < float(limit):
        began = perf_counter()
        fit()
        result["second"] = perf_counter() - began
    package = {"statsmodels.api": "statsmodels", "mixedlm_rs": "mixedlm-rs"}[module]
    print("\n" + json.dumps(result | {"version": f"{package} {version(package)}"}))


if __name__ == "__main__":
    main()
