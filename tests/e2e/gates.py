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


def stay(folder, i):
    """Say in a folder which worker has begun item ``i``, and run until the folder has a `gate`."""
    import os
    import pathlib
    import time

    folder = pathlib.Path(folder)
    with (folder / f"began-{i}").open("a") as said:
        said.write(f"{os.getppid()}\n")
    while not (folder / "gate").exists():
        time.sleep(0.01)
    return i


def began(folder):
    """The items that have begun in a folder by `stay`, and the workers that began them."""
    return {int(path.name[6:]): path.read_text().split() for path in folder.glob("began-*")}
