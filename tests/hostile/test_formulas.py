"""Formulas that are broken, or that try to be programs: none is ever run."""

import pytest

SPOKEN = ("Traceback", "pydantic", "Error(")

HOSTILE = {
    "no_tilde": "y x + (1 | g)",
    "two_tildes": "y ~ x ~ z + (1 | g)",
    "no_outcome": "~ x + (1 | g)",
    "no_right_side": "y ~ ",
    "unbalanced": "y ~ (x + (1 | g)",
    "unbalanced_other": "y ~ x) + (1 | g)",
    "dangling_plus": "y ~ x + + (1 | g) +",
    "empty_bracket": "y ~ x + (| g)",
    "no_factor": "y ~ x + (1 | )",
    "bar_without_brackets": "y ~ x + 1 | g",
    "two_bars": "y ~ x + (1 | g | h)",
    "three_bars": "y ~ x + (1 ||| g)",
    "bar_in_bar": "y ~ x + ((1 | g) | h)",
    "bar_on_the_left": "(1 | g) ~ x",
    "number_as_outcome": "1 ~ x + (1 | g)",
    "import": "y ~ I(__import__('os').system('touch pwned')) + (1 | g)",
    "import_bare": "y ~ __import__('os') + (1 | g)",
    "attribute": "y ~ x.__class__ + (1 | g)",
    "attribute_call": "y ~ x.apply(print) + (1 | g)",
    "subclasses": "y ~ I(().__class__.__bases__[0].__subclasses__()) + (1 | g)",
    "lambda": "y ~ (lambda: 1)() + (1 | g)",
    "eval": "y ~ eval('1+1') + (1 | g)",
    "exec": "y ~ exec('import os') + (1 | g)",
    "open": "y ~ I(open('/etc/passwd')) + (1 | g)",
    "getattr": "y ~ getattr(x, 'y') + (1 | g)",
    "comprehension": "y ~ [x for x in (1,)] + (1 | g)",
    "index": "y ~ x[0] + (1 | g)",
    "string": "y ~ 'x' + (1 | g)",
    "walrus": "y ~ (x := 1) + (1 | g)",
    "assignment": "y = x + (1 | g)",
    "semicolon": "y ~ x; import os",
    "newlines": "y ~ x\nimport os",
    "keyword": "y ~ poly(x, degree=__import__('os')) + (1 | g)",
    "star_arguments": "y ~ poly(*x) + (1 | g)",
    "decorator": "y ~ @x + (1 | g)",
    "backtick_open": "y ~ `x + (1 | g)",
    "backtick_code": "y ~ `__import__('os')` + (1 | g)",
    "unknown_call": "y ~ system(x) + (1 | g)",
    "call_of_call": "y ~ log(x)(x) + (1 | g)",
    "module_call": "y ~ np.log(x) + (1 | g)",
    "no_argument": "y ~ log() + (1 | g)",
    "too_many_arguments": "y ~ log(x, x, x) + (1 | g)",
    "nul": "y ~ x\x00 + (1 | g)",
    "homoglyph": "y ∼ x + (1 ∣ g)",
    "deep": "y ~ " + "(" * 900 + "x" + ")" * 900,
    "deep_calls": "y ~ " + "log(" * 300 + "x" + ")" * 300 + " + (1 | g)",
    "too_long": "y ~ " + " + ".join(["x"] * 2000),
    "power_bomb": "y ~ (" + " + ".join(f"x{k}" for k in range(40)) + ")^40 + (1 | g)",
    "star_bomb": "y ~ " + " * ".join(f"x{k}" for k in range(40)) + " + (1 | g)",
    "huge_power": "y ~ I(x ** 10 ** 10 ** 10) + (1 | g)",
    "huge_polynomial": "y ~ poly(x, 100000000) + (1 | g)",
    "huge_spline": "y ~ bs(x, df=100000000) + (1 | g)",
    "negative_polynomial": "y ~ poly(x, -1) + (1 | g)",
    "minus_term_of_nothing": "y ~ 0 + (0 | g)",
    "only_bar": "|",
    "spaces": "     ",
    "sql": "y ~ x'; DROP TABLE estimates; -- ",
    "html": "y ~ <script>alert(1)</script> + (1 | g)",
    "same_term_twice": "y ~ x + (1 | g) + (1 | g)",
    "factor_is_a_call": "y ~ x + (1 | log(g))",
    "factor_is_a_number": "y ~ x + (1 | 3)",
    "offset_of_words": "y ~ x + offset(c) + (1 | g)",
    "dot": "y ~ . + (1 | g)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_formula_is_not_run(end, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    end({"study": {"models/m/formula": HOSTILE[name]}, "ends": ("stopped", "refused")})
    assert not (tmp_path / "pwned").exists()


FINE = {
    "spaces": "  y~x+(1|g)  ",
    "line_break": "y ~ x +\n  (1 | g)",
    "dotted": "y ~ `x` + (1 | g)",
    "square": "y ~ x + I(x^2) + (1 | g)",
    "factor": "y ~ x * c + (1 | g)",
    "slope_alone": "y ~ x + (0 + x | g)",
    "no_intercept": "y ~ 0 + x + (1 | g)",
    "minus_one": "y ~ x - 1 + (1 | g)",
    "independent": "y ~ x + (x || g)",
    "offset": "y ~ x + offset(t) + (1 | g)",
    "redundant": "y ~ x + x + 1 + (1 | g)",
}


@pytest.mark.parametrize("name", FINE)
def test_formula_is_answered(end, name):
    end({"study": {"models/m/formula": FINE[name]}, "ends": ("answered",)})
