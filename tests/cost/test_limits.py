"""Grammar of budgets."""

from fractions import Fraction

import pytest

from autoprune.cost.budget import Budget
from autoprune.errors import UsageError


def parsed(text):
    return [(limit.amount, limit.unit, limit.relative) for limit in Budget.parse(text).limits]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5flops", (Fraction(1, 2), "flops", True)),
        (" 0.5 FLOPs ", (Fraction(1, 2), "flops", True)),
        ("1macs", (Fraction(1), "macs", True)),
        (".1params", (Fraction(1, 10), "params", True)),
        ("60Mmacs", (Fraction(60_000_000), "macs", False)),
        ("60 mMACS", (Fraction(60_000_000), "macs", False)),
        ("1.2M parameters", (Fraction(1_200_000), "params", False)),
        ("0.001Gflops", (Fraction(1_000_000), "flops", False)),
        ("2MB", (Fraction(2_000_000), "bytes", False)),
        ("300kB", (Fraction(300_000), "bytes", False)),
        ("5000b", (Fraction(5000), "bytes", False)),
        ("0.25bytes", (Fraction(1, 4), "bytes", True)),
        ("5e-1flops", (Fraction(1, 2), "flops", True)),
    ],
)
def test_grammar(text, expected):
    assert parsed(text) == [expected]
    assert parsed(str(Budget.parse(text))) == [expected]


def test_commas_join():
    assert len(parsed("0.5flops, 0.3params,2MB")) == 3


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "number"),
        ("flops", "number"),
        ("nanflops", "finite"),
        ("infflops", "finite"),
        ("0.5", "unit is missing"),
        ("0.5M", "unknown unit 'M'"),
        ("0.5floops", "unknown unit 'floops'"),
        ("50%flops", "unknown unit"),
        ("0flops", "above 0"),
        ("-0.5flops", "above 0"),
        ("0Mmacs", "above 0"),
        ("2flops", "write 2Mflops"),
        ("1.5params", "over 1"),
        ("61706params", "write 0.061706Mparams"),
        ("0.5flops,", "number"),
        ("60Mlatency", "only fractions|write a fraction"),
        ("1.5latency", "write a fraction"),
        ("0ms", "above 0"),
        ("5kms", "cannot read"),
        ("60Menergy", "only fractions"),
        ("1.5energy", "only fractions"),
        ("1e999999999flops", "out of range"),
        ("9" * 5000 + "Mflops", "cannot read"),
    ],
)
def test_bad_budgets_say_why(text, word):
    with pytest.raises(UsageError, match=word):
        Budget.parse(text)
