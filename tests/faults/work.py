"""The items: each writes into the tally that it begins and that it ends, past nbqueue.

The tally is a plain file, opened to append; a line is one ``write``, so lines of several processes
never mix, and what a process has written stays when it is killed.
"""

import nbqueue as nq


def tallying(path, nap_s):
    """Give a task of one number that naps, tallies, and gives the number back."""
    path = str(path)

    @nq.task
    def item(i):
        import os
        import time

        def tell(what):
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{i} {os.getpid()} {time.time():.4f} {what} .\n".encode())
            os.close(file)

        tell("began")
        time.sleep(nap_s)
        tell("ended")
        return i

    return item
