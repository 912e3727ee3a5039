"""Some rows of a job's frame are those rows of its frame."""

import inspect
import threading
from types import SimpleNamespace

import pandas as pd
import pytest

from nbqueue.client import frame
from nbqueue.client.live_frame import LiveFrame
from nbqueue.client.outcome import Outcomes as Reader
from nbqueue.core.records import Cancelled, Rejected, Retried, Started
from nbqueue.notebook import bundles
from nbqueue.store.values import arguments
from tests.unit.builders import DictBlobs, make_outcomes, make_state


def fit(x, y=1):
    pass


def make_live(n, *records, block=7):
    """A job whose argument blocks are counted as they are read."""
    blobs, read = DictBlobs(), []
    state = make_state(n, *records, block=block, params=("x", "y"))
    packed = [
        arguments.pack_columns([list(range(a, min(a + block, n)))], blobs, ("x",), a)
        for a in range(0, n, block)
    ]

    def block_of(number):
        read.append(number)
        return arguments.read(packed[number], blobs)

    functions = SimpleNamespace(get=lambda address: fit, kind=lambda address: "function")
    assert tuple(inspect.signature(fit).parameters) == ("x", "y")
    return SimpleNamespace(
        state=state,
        name="grid",
        lock=threading.RLock(),
        outcomes=Reader(state, blobs, pytest.fail),
        block=block_of,
        client=SimpleNamespace(functions=functions),
        read=read,
    )


RECORDS = (
    make_outcomes([(0, 10)], failed={3}, worker="w1"),
    make_outcomes([(15, 25)], failed={16, 24}, worker="w2"),
    Started(1, "w3", "m", 12, 1004.0),
    Cancelled(1005.0, ((26, 28),), 1),
    Rejected(1, ((28, 29),), "w9", "bad"),
    Retried(2, ((16, 17),), 1006.0, "fit", "f" * 64),
)


# Of pandas before 3: the two kinds of nothing, which differ as the dtypes do.
@pytest.mark.filterwarnings("ignore:Mismatched null-like values:FutureWarning")
@pytest.mark.parametrize(
    "items", [range(30), [0, 1, 28, 29], [3, 16, 24, 26], [12], [], list(range(5, 25, 3))]
)
def test_some_rows_are_those_rows_of_the_whole(items):
    live = make_live(30, *RECORDS)
    whole = frame.build(live, expand=True)
    part = LiveFrame(live, expand=True).rows(list(items))
    # A part without gaps has no need of a dtype for them.
    pd.testing.assert_frame_equal(
        part, whole.iloc[list(items)], check_dtype=False, check_categorical=False
    )


def test_the_ends_of_a_long_frame_read_only_their_own_arguments():
    live = make_live(700, make_outcomes([(0, 700)]))
    shown = bundles.frame(LiveFrame(live, expand=True))
    assert set(live.read) == {0, 99}
    assert "700 rows × " in shown["text/html"]
    assert shown["text/html"].count("<td>...</td>") == shown["text/html"].count("<th>x</th>") * 11
    assert "[700 rows x 11 columns]" in shown["text/plain"]


def test_a_live_frame_is_named_without_asking_anybody():
    live = make_live(3)
    live.block = None
    shown = LiveFrame(live, expand=True)
    assert repr(shown) == "<LiveFrame of job 'grid': PENDING, 3 rows>"
    assert len(shown) == 3


def test_head_and_tail():
    shown = LiveFrame(make_live(30, *RECORDS), expand=True)
    assert shown.head(2).index.tolist() == [0, 1]
    assert shown.tail(2).index.tolist() == [28, 29]
    assert shown.tail(0).empty
    assert len(shown.to_frame()) == 30
