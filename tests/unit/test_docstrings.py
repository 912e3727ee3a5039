"""Every public name says what it gives, with an example; `bash tests/run doctest` runs those."""

import inspect

import pytest

import nbqueue as nq

FOR_OTHER_ROOMS = {
    "Client.again",
    "Client.begin_again",
    "Client.block",
    "Client.check",
    "Client.cwd",
    "Client.now",
    "Client.timestamp",
    "Ref.address_in",
    "Ref.pointer",
    "Stored.address_in",
    "Task.checked",
    "Task.misfit",
    "Task.submission",
}
"""Methods that other modules of nbqueue use, and nobody else."""


def owners(value):
    """The classes of nbqueue that a public name has its members from."""
    kind = value if inspect.isclass(value) else type(value)
    return [owner for owner in kind.__mro__ if owner.__module__.startswith("nbqueue.")]


def members():
    """All public names, and all that their classes have, with what has their docstring."""
    for name in nq.__all__:
        if name == "__version__":
            continue
        value = getattr(nq, name)
        yield name, value
        for owner in owners(value):
            for member, own in vars(owner).items():
                known = f"{owner.__name__}.{member}"
                if not member.startswith("_") and known not in FOR_OTHER_ROOMS:
                    yield known, getattr(own, "__func__", own)


MEMBERS = dict(members())


@pytest.mark.parametrize("name", [name for name, value in MEMBERS.items() if callable(value)])
def test_it_has_an_example(name):
    doc = inspect.getdoc(MEMBERS[name]) or ""
    assert ">>>" in doc, f"{name} has no example: {doc[:60]!r}"


@pytest.mark.parametrize(
    "name", [name for name, value in MEMBERS.items() if isinstance(value, property)]
)
def test_what_is_at_hand_says_what_it_is(name):
    assert inspect.getdoc(MEMBERS[name])


def test_what_is_said_to_be_of_other_rooms_is_there():
    kinds = {owner.__name__: owner for name in nq.__all__ for owner in owners(getattr(nq, name))}
    for name in FOR_OTHER_ROOMS:
        kind, member = name.split(".")
        assert callable(vars(kinds[kind])[member])
