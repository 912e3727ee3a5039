"""Tab on the lines of the magics."""

import pytest

from nbqueue.notebook.completion import Known, Offer, offer
from nbqueue.notebook.parsing import OPTIONS

KNOWN = Known(names=("alpha", "alphabet", "beta"), jobs=("sweep", "swim"), queues=("celery", "gpu"))


@pytest.mark.parametrize(
    ("line", "fragment", "texts"),
    [
        ("%%enqueue --re", "--re", "--retries"),
        ("%%enqueue a --o", "--o", "--out"),
        ("%enqueue --o", "--o", ""),
        ("%enqueue --wa", "--wa", "--wait"),
        ("job = %enqueue --wa", "--wa", "--wait"),
        ("%%enqueue -q ", "", "celery gpu"),
        ("%%enqueue --queue=g", "g", "gpu"),
        ("%enqueue -q g", "g", "gpu"),
        ("%%enqueue --after sw", "sw", "sweep swim"),
        ("%%enqueue --after sweep,sw", "sw", "sweep swim"),
        ("%%enqueue --in al", "al", "alpha alphabet"),
        ("%%enqueue --in beta alph", "alph", "alpha alphabet"),
        ("%%enqueue --out beta,al", "al", "alpha alphabet"),
        ("%%enqueue --retries ", "", ""),
        ("%%enqueue al", "al", ""),
        ("%%enqueue --for 'x=al", "al", "alpha alphabet"),
        ('%%enqueue --for "x=f(al', "al", "alpha alphabet"),
        ("%enqueue al", "al", "alpha alphabet"),
        ("%enqueue -q gpu f(beta, al", "al", "alpha alphabet"),
        ("%enqueue x.al", "", ""),
        ("%cancel sw", "sw", "sweep swim"),
        ("%cancel --", "--", "--terminate"),
        ("%jobs s", "s", "sweep swim"),
        ("%jobs -", "-", "-n"),
    ],
)
def test_offers(line, fragment, texts):
    assert offer(line, KNOWN) == Offer(fragment, tuple(texts.split()))


def test_all_options_are_offered():
    assert offer("%%enqueue --", KNOWN) == Offer("--", OPTIONS)


@pytest.mark.parametrize("line", ["%%enqueu", "%%enqueue", "x = 1", "%enqueued al", "print('%x"])
def test_other_lines_are_left_to_others(line):
    assert offer(line, KNOWN) is None
