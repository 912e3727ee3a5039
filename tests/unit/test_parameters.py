"""Whether arguments fit is found out before anything is sent; rows of them, as starmap has them."""

import inspect
from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from nbqueue.client.dispatch import Named
from nbqueue.client.parameters import Parameters

Pair = namedtuple("Pair", "C gamma")


def fit(C, gamma=0.5):
    return C, gamma


def rows(given, function=fit, *, is_checked=True):
    return list(Parameters("fit", function, is_checked=is_checked).rows(given))


@pytest.mark.parametrize("row", [(1, 2), [1, 2], Pair(1, 2), iter((1, 2)), range(1, 3)])
def test_what_has_an_order_gives_its_arguments_in_order(row):
    assert rows([row]) == [(1, 2)]


@pytest.mark.parametrize("is_checked", [True, False])
@pytest.mark.parametrize(
    ("row", "args"),
    [
        ({"gamma": 2, "C": 1}, (1, 2)),
        (OrderedDict(gamma=2, C=1), (1, 2)),
        ({"C": 1}, (1, 0.5)),
    ],
)
def test_a_dict_gives_its_arguments_by_name(row, args, is_checked):
    assert rows([row, (7, 8)], is_checked=is_checked) == [args, (7, 8)]


@pytest.mark.parametrize(
    ("row", "why"),
    [({"c": 1}, "missing a required argument"), ({}, "missing"), ({1: 2}, "keywords must be str")],
)
def test_a_dict_that_does_not_fit_is_refused(row, why):
    with pytest.raises(TypeError, match=f"(?s)item 1 .*{why}.*nothing was sent"):
        rows([(1, 2), row])


def test_what_is_taken_by_name_only_stays_named():
    def named(a, b=0, *, c, d=3, **more):
        pass

    assert rows([{"c": 2, "a": 1}], named) == [Named((1, 0), {"c": 2, "d": 3})]
    assert rows([{"a": 1, "c": 2, "x": 5}], named) == [Named((1, 0), {"c": 2, "d": 3, "x": 5})]
    assert rows([{"a": 1}, (7,)], lambda a, **more: a) == [(1,), (7,)]
    with pytest.raises(TypeError, match=r"(?s)item 0 .*missing a required .*'c'.*nothing was sent"):
        rows([{"a": 1}], named)


def test_a_dict_is_refused_where_nobody_knows_the_names():
    with pytest.raises(TypeError, match="nobody can say what its parameters are called"):
        rows([{"a": 1}], dict.pop)


@pytest.mark.parametrize("row", ["ab", b"ab", {1, 2}, 3, None])
def test_what_is_one_value_or_has_no_order_is_refused(row):
    with pytest.raises(TypeError, match="needs a tuple of arguments for each item, or a dict"):
        rows([row])


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
@drawn(
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
