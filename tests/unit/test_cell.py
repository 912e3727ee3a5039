"""A cell on its way: between versions of this package, too."""

import cloudpickle
import pytest

from nbqueue.core.errors import FunctionNotLoadable
from nbqueue.store.code import cell as cells
from nbqueue.store.code import functions
from nbqueue.store.code.cell import Cell
from tests.unit.builders import DictBlobs


def test_a_worker_of_another_version_takes_what_it_knows(monkeypatch):
    sent = Cell("y = x", "<cell a>", {"x": 1}, ("y",), after=("first",))
    newer = cloudpickle.dumps(sent)
    older = [field for field in cells.fields(Cell) if field.name not in ("value", "after")]
    monkeypatch.setattr(cells, "fields", lambda _: older)
    arrived = cloudpickle.loads(newer)
    assert (arrived.source, arrived.out, arrived.after) == ("y = x", ("y",), ())
    assert arrived.namespace["x"] == 1
    from_older = cloudpickle.dumps(sent)
    monkeypatch.undo()
    assert cloudpickle.loads(from_older).value is False


def test_a_cell_that_cannot_be_loaded_is_told_by_its_title():
    class Odd:
        def __reduce__(self):
            return int, ("not a number",)

    packed = functions.dump(Cell("y = x", "<cell a>", {"x": Odd()}), DictBlobs())
    with pytest.raises(FunctionNotLoadable, match=r"^'<cell a>' cannot be loaded by this worker"):
        functions.load(packed, DictBlobs())
