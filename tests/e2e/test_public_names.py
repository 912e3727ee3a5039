"""Every public name has an example that is run, and is where it is said to be."""

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import nbqueue as nq

ROOT = Path(__file__).resolve().parents[2]
CONSTANTS = {"__version__"}

doctest.register_optionflag("CLUSTER")


def examples_of(thing):
    """All examples in a docstring, and for a class in its methods' docstrings."""
    finder = doctest.DocTestFinder(recurse=True)
    name = getattr(thing, "__name__", type(thing).__name__)
    return [e for found in finder.find(thing, name, globs={}) for e in found.examples]


@pytest.mark.parametrize("name", sorted(set(nq.__all__) - CONSTANTS))
def test_every_public_name_has_a_docstring_with_an_example(name):
    thing = getattr(nq, name)
    assert inspect.getdoc(thing)
    assert doctest.DocTestParser().get_examples(thing.__doc__ or ""), f"{name} has no example"
    assert examples_of(thing)


def test_the_names_of_the_promise_are_there():
    promised = {
        "connect", "LocalCluster", "task", "gather", "wait", "as_completed", "jobs", "job",
        "track", "progress", "current", "workers", "queues", "cluster", "control",
        "put", "Ref", "Executor", "apply", "run_notebook",
    }  # fmt: skip
    assert promised <= set(nq.__all__)
    assert set(nq.__all__) <= set(dir(nq))
    assert nq.__version__.count(".") >= 1
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        nq.nonsense  # noqa: B018 - looking it up is what fails


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            "Task",
            "submit delay apply_async map starmap chunks with_options __call__",
        ),
        (
            "Job",
            "id name state n __len__ __getitem__ __iter__ result wait __await__ as_completed "
            "exceptions cancel retry pull to_frame timings counts progress log rerun forget "
            "why",
        ),
        ("Ref", "get"),
        ("Executor", "submit map shutdown __enter__ __exit__"),
        ("LocalCluster", "connect close broker_url __enter__ __exit__"),
        ("Future", "result exception cancel cancelled done running add_done_callback why"),
    ],
)
def test_methods_of_the_promise_are_there_and_explained(owner, names):
    cls = getattr(nq, owner)
    for name in names.split():
        member = inspect.getattr_static(cls, name)
        if not name.startswith("__"):
            assert inspect.getdoc(getattr(cls, name)), f"{owner}.{name}"
        assert member is not None


@pytest.mark.parametrize(
    "error", [name for name in nq.__all__ if inspect.isclass(getattr(nq, name))
              and issubclass(getattr(nq, name), Exception)],
)  # fmt: skip
def test_every_error_survives_pickling(error):
    import copy
    import pickle

    cls = getattr(nq, error)
    assert issubclass(cls, nq.NbqueueError)
    exc = cls("what happened")
    for again in (pickle.loads(pickle.dumps(exc)), copy.copy(exc)):
        assert type(again) is cls
        assert "what happened" in str(again)


def test_importing_a_name_loads_no_more_than_it_needs():
    code = (
        "import sys, nbqueue; nbqueue.UsageError; "
        "print({'celery', 'redis', 'pandas', 'IPython'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
