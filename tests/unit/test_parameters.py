"""Whether a call fits is found out without binding it, and in agreement with binding it."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbqueue.client.parameters import Parameters

FUNCTIONS = [
    lambda: 0,
    lambda a: a,
    lambda a, b=1: a,
    lambda a=0, b=1: a,
    lambda a, /, b: a,
    lambda *a: a,
    lambda a, *b: a,
    lambda a, *, k: a,
    lambda a, *, k=1: a,
    lambda a, *b, k: a,
    lambda a, **k: a,
    lambda *a, **k: a,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: str(inspect.signature(f)))
@given(
    args=st.lists(st.none(), max_size=4).map(tuple),
    kwargs=st.dictionaries(st.sampled_from("abkx"), st.none(), max_size=2),
)
def test_what_fits_is_what_can_be_bound(function, args, kwargs):
    try:
        inspect.signature(function).bind(*args, **kwargs)
        fits = True
    except TypeError:
        fits = False
    misfit = Parameters("f", function, is_checked=True).misfit(args, kwargs)
    assert (misfit is None) == fits
