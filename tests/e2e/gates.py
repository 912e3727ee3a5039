"""Tasks that run until a file is there: what is to be seen while they run is seen without a sleep.

The `gate` fixture gives a path for one; it comes to be at the test's end, whatever happens.
"""

import nbqueue as nq


@nq.task
def wait_for(path, x=0):
    """Run until a file is there."""
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.01)
    return x


@nq.task
def hold(folder, i, gate=None):
    """Say in a folder that item ``i`` has begun, and run until the gate is there."""
    import pathlib
    import time

    (pathlib.Path(folder) / f"began-{i}").touch()
    while gate is not None and not pathlib.Path(gate).exists():
        time.sleep(0.01)
    return i
