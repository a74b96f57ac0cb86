"""Numbers as a reader wants them: as many digits as the uncertainty allows, and real minus signs."""

from __future__ import annotations

from math import floor, isfinite, log10

MINUS = "−"
NOTHING = "–"
"""Stands where a notion does not apply."""
MOST_DECIMALS = 6
TENTH = 0.0005
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals_for(uncertainty: float, significant: int = 2) -> int:
    """Decimals that show `significant` digits of an uncertainty; 0 for large ones."""
    if not isfinite(uncertainty) or uncertainty <= 0:
        return 2
    return max(0, significant - 1 - floor(log10(uncertainty)))


def fixed(value: float | None, decimals: int) -> str:
    """A number with a fixed count of decimals; very small ones in powers of ten."""
    if value is None or not isfinite(value):
        return NOTHING
    if decimals > MOST_DECIMALS:
        return say(value)
    text = f"{abs(value):,.{decimals}f}"
    negative = value < 0 and any(digit in "123456789" for digit in text)
    return f"{MINUS if negative else ''}{text}"


def say(value: float | None, significant: int = 3) -> str:
    """A number by itself, to `significant` digits; powers of ten where a person would write them."""
    if value is None or not isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    size = floor(log10(abs(value)))
    sign = MINUS if value < 0 else ""
    if size < -4 or size > 8:
        power = str(size).translate(_SUPERSCRIPTS)
        return f"{sign}{abs(value) / 10.0**size:.{significant - 1}f} × 10{power}"
    return f"{sign}{abs(value):,.{max(0, significant - 1 - size)}f}"


def with_unit(value: float | None, unit: str | None) -> str:
    """A number and its unit, if it has one."""
    return f"{say(value)} {unit}" if unit else say(value)


def with_error(value: float | None, error: float | None) -> tuple[str, str]:
    """An estimate and its standard error, to two digits of the error."""
    if error is None or not isfinite(error) or error <= 0:
        return say(value), NOTHING
    decimals = decimals_for(error)
    return fixed(value, decimals), fixed(error, decimals)


def interval(lower: float | None, upper: float | None, error: float | None = None) -> str:
    """``0.48 to 1.02``, to the digits of the standard error or of the interval's width."""
    if lower is None or upper is None:
        return NOTHING
    width = error if error else (upper - lower) / 4
    decimals = decimals_for(width)
    return f"{fixed(lower, decimals)} to {fixed(upper, decimals)}"


def p_value(p: float | None) -> str:
    """A p-value to two or three decimals; never 0."""
    if p is None:
        return NOTHING
    if p < TENTH * 2:
        return "<\u00a00.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(number: int | None) -> str:
    """A whole number with separators."""
    return NOTHING if number is None else f"{number:,}"


def percent(share: float | None) -> str:
    """A share between 0 and 1 in percent; never a rounded 0 or 100 that is not one."""
    if share is None:
        return NOTHING
    if 0 < share < 0.005:
        return "under 1%"
    if 0.995 < share < 1:
        return "over 99%"
    return f"{share:.0%}"
