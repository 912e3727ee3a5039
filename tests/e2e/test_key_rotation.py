"""A key is changed while work goes on: no message is lost, whoever is rolled first."""

import itertools

import numpy as np
import pytest

import nbqueue as nq
from nbqueue import cli
from nbqueue.core.errors import BadSignature
from nbqueue.store import rejections, signing

OLD, NEW = signing.generate(), signing.generate()
STEPS = [OLD, f"{OLD},{NEW}", f"{NEW},{OLD}"]
LARGE = np.arange(300_000)


@nq.task
def double(x):
    return 2 * x


def test_workers_and_clients_are_rolled_one_by_one(servers):
    url = servers.redis("s3cret-w0rd")
    waiting, n = [], itertools.count()

    def send(key):
        with nq.connect(url, key=key):
            sent = [
                double.map(range(3), name=f"m{next(n)}"),
                double.submit(LARGE),
                double.apply_async((4,), countdown=0.5),
                nq.run(double.s(5) | double.s(), name=f"w{next(n)}"),
            ]
            waiting.extend(job.id for job in sent)

    def read(key):
        with nq.connect(url, key=key) as client:
            while waiting:
                found = nq.job(waiting.pop()).result(timeout=40)
                expected = ([0, 2, 4], 8, 20)
                assert np.array_equal(found, 2 * LARGE) or found in expected
            assert rejections.read(client.store).total == 0

    for before, after in itertools.pairwise(STEPS):
        send(before)  # nobody works yet: what comes next finds it in the queue
        for key in (before, after):  # the worker is rolled after the clients, or before
            worker, _ = servers.worker(url, key, "-c", "1")
            send(before)
            send(after)
            read(after if key == before else before)
            worker.terminate()
            worker.wait(60)
    send(STEPS[-1])
    worker, _ = servers.worker(url, STEPS[-1], "-c", "1")
    read(NEW)  # the last round: what the old key has signed is gone
    worker.terminate()
    worker.wait(60)


def test_a_client_with_another_key_hears_that_at_once(servers):
    url = servers.redis("s3cret-w0rd")
    servers.worker(url, OLD, "-c", "1")
    with nq.connect(url, key=NEW) as client:
        failed = double.map(range(3)).result(timeout=20, errors="return")
        assert {type(error) for error in failed} == {BadSignature}
        assert "same $NBQUEUE_KEY" in str(failed[0])
        assert rejections.read(client.store).counts["message"] >= 1
        [finding] = [f for f in nq.doctor().findings if f.check == "signatures"]
        assert "message" in finding.text


def test_keygen_explains_how_keys_are_changed(capsys):
    assert cli.main(["keygen"]) == 0
    signing.Keyring(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        cli.main(["keygen", "--help"])
    said = capsys.readouterr().out
    assert "NBQUEUE_KEY=OLD,NEW" in said
    assert "the first signs" in said
