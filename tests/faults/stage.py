"""Where a fault is staged: a Redis that keeps jobs, a broker, workers, and a client here.

Everything of a stage is its own, on the loopback, and ends with it. The Redis writes an append-only
file, as one that keeps jobs should.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis

import nbqueue as nq
from nbqueue.store import signing
from tests.e2e.servers import RedisServer, Servers, processes_of, until

PASSWORD = "s3cret-w0rd"
READY_S = 60.0

END_S = 100.0
"""How long a job may take to its end after a fault."""

WITHIN_S = 15.0
"""What is promised: so long after a fault work goes on, and what was held is recorded."""


@dataclass
class Worker:
    """A worker and the processes of its pool."""

    process: subprocess.Popen
    log: Path
    name: str

    @property
    def children(self):
        """The pids of its pool's processes."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def signal(self, number):
        """Send a signal to its main process."""
        os.kill(self.process.pid, number)

    def kill(self, *, children):
        """End it by SIGKILL, with its ``children`` or without them."""
        if children:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.signal(signal.SIGKILL)
        self.process.wait()

    def ready(self):
        """Wait until it takes messages."""
        until(lambda: "ready." in self.log.read_text() or self.process.poll() is not None, READY_S)
        assert self.process.poll() is None, self.log.read_text()


class Stage:
    """Servers, workers and clients of one trial.

    ``rabbit`` is a node, or `None` for Redis; ``also`` are addresses at which the Redis listens
    beside the loopback's.
    """

    def __init__(self, lease_s, rabbit=None, also=()):
        self.folder = Path(tempfile.mkdtemp(prefix="nbq."))
        self.servers = Servers(self.folder)
        self.rabbit = rabbit
        self.lease_s = lease_s
        self.key = signing.generate()
        self.redis = RedisServer(
            self.servers, PASSWORD, "--appendonly", "yes", "--appendfsync", "everysec", also=also
        )
        self.redis.start()
        self.store_url = self.redis.url
        self.broker_url = self.redis.url if rabbit is None else rabbit.url
        self.workers = []
        self._clients = []

    @property
    def broker(self):
        """What kind of broker it is."""
        return "Redis" if self.rabbit is None else "RabbitMQ"

    def start_workers(
        self, n=2, processes=4, *options, lease_s=None, broker_url=None, store_url=None, prefix=()
    ):
        """Start workers, side by side; back when they take messages.

        They are in the network that ``prefix`` leads to, and reach the servers by the URLs.
        """
        made = []
        for _ in range(n):
            name = f"w{len(self.workers) + len(made)}"
            process, log = self.servers.worker(
                broker_url or self.broker_url,
                self.key,
                *("-c", str(processes), "--lease", str(lease_s or self.lease_s), *options),
                backend=store_url or self.store_url,
                ready=False,
                name=name,
                prefix=prefix,
            )
            made.append(Worker(process, log, name))
        for worker in made:
            worker.ready()
        self.workers.extend(made)
        return made

    def all_work(self):
        """Wait until each living worker has recorded an item; the default client asks for them."""
        nap = nq.task(lambda i: __import__("time").sleep(0.02))
        worked = set()
        give_up = time.monotonic() + END_S

        def idle():
            return [
                worker.name
                for worker in self.workers
                if worker.process.poll() is None and worked.isdisjoint(worker.children)
            ]

        def all_have():
            job = nap.map(range(40))
            assert job.wait(max(give_up - time.monotonic(), 0)), self.describe(job, idle())
            names = job.to_frame()["worker"].unique()
            worked.update(int(name.rpartition("/")[2]) for name in names)
            return not idle()

        while not all_have():
            assert time.monotonic() < give_up, self.describe("no job", idle())

    def describe(self, job, idle=()):
        """Say how far a job is, and who does nothing, with the ends of the workers' logs."""
        logs = "\n".join(
            f"--- {w.name}\n" + "\n".join(w.log.read_text().splitlines()[-15:])
            for w in self.workers
        )
        return f"{job!r} {idle} idle\n{logs}"

    def ask(self, *words):
        """Ask the Redis that keeps the jobs."""
        with redis.Redis.from_url(self.store_url) as client:
            return client.execute_command(*words)

    def connect(self):
        """Give a new client, which is the default one from now on."""
        client = nq.connect(self.broker_url, backend=self.store_url, key=self.key)
        self._clients.append(client)
        return client

    def close(self):
        """End everything, and see that nothing is left."""
        for client in self._clients:
            client.close()
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGCONT)
        self.servers.close()
        until(lambda: not processes_of(self.folder))
        shutil.rmtree(self.folder)
