"""Random streams keyed on names, so that no draw depends on cores or order."""

from hashlib import sha256


def seed_for(root: int, *names: str | int) -> int:
    """Seed of the stream that belongs to `names` under a root seed.

    Parameters
    ----------
    root : int
        The seed of the configuration.
    *names : str or int
        What the stream is for, from the outside in: study, model, engine, chain ...

    Returns
    -------
    int
        Between 0 and 2**63 - 1; the same for the same arguments on every machine.
    """
    key = "\x1f".join(str(part) for part in (root, *names))
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big") >> 1
