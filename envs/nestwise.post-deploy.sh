#!/usr/bin/env bash
# Snakemake runs this in the conda environment that it has made from nestwise.yaml: the package itself is
# installed from the checkout, so that an edit in src/ needs no new environment. The workflow names the checkout.
set -euo pipefail
python -m pip install --quiet --no-deps --editable "${NESTWISE_SOURCE:?the workflow sets it}"
