"""The memory that pool processes share with their worker's main process."""

import os
import uuid

from nbqueue.worker.process.tally import Tally


def test_counts_add_up_and_the_running_item_is_told():
    tally = Tally()
    slot = tally.slot()
    assert slot is tally.slot()
    slot.recorded(3)
    slot.recorded(4)
    message = str(uuid.uuid4())
    slot.runs(message, 17, 5.5)
    assert tally.done() == 7
    assert tally.running() == {message: (17, 5.5)}
    slot.rests()
    assert (tally.running(), tally.done()) == ({}, 7)


def test_threads_have_slots_of_their_own():
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    tally, barrier = Tally(), Barrier(4)
    messages = [str(uuid.uuid4()) for _ in range(4)]

    def work(i):
        barrier.wait(30)
        tally.slot().recorded(10)
        tally.slot().runs(messages[i], i, 0.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert tally.done() == 40
    assert {m: tally.running()[m][0] for m in messages} == {m: i for i, m in enumerate(messages)}


def test_a_childs_counts_are_seen_by_its_parent():
    tally = Tally()
    pid = os.fork()
    if pid == 0:
        tally.slot().recorded(5)
        os._exit(0)
    os.waitpid(pid, 0)
    assert tally.done() == 5


def test_a_message_with_an_id_of_another_kind_is_not_told():
    tally = Tally()
    tally.slot().runs("not a uuid", 3, 0.0)
    assert tally.running() == {}
