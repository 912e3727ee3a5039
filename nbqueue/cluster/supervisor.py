"""The supervisor: the process that keeps one Redis and one worker running, and then ends.

And one beat, while there are schedules with a time to come.

Started by `launch.spawn`, it belongs to no kernel: its own session, its output in a log, its
life told by the lock it holds. It starts Redis and the worker at the same time, starts again
whichever dies, publishes ``state.json``, and ends on SIGTERM or when nobody needs it.

    starting ──Redis answers──► running ──SIGTERM, or quiet──► stopping ──► (gone)
        └──────Redis ends, or keeps on ending──────► failed ──► (gone, state.json stays)

It must import little (it should be up in milliseconds), use no thread (it forks), import no
Celery and no redis-py, and never wait for anything without a limit.

The race of ending: a client may attach at the moment the quiet period is over. So the supervisor
takes the start lock before it looks for clients the last time and keeps it until it has gone;
clients hold that lock until their named connection is open.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from nbqueue.cluster import repair
from nbqueue.cluster import state as state_file
from nbqueue.cluster.child import Child
from nbqueue.cluster.folder import FileLock, cap_logs, tail
from nbqueue.cluster.guard import Guard
from nbqueue.cluster.launch import Launch
from nbqueue.cluster.need import Beat, Quiet
from nbqueue.cluster.redis_server import Wire, WireError, command_line
from nbqueue.cluster.state import Process, State, mark_of

# Warm shutdown: a running item may finish. Higher, and `stop` (20 s by default) gives up first.
WORKER_GRACE_S = 10.0
REDIS_GRACE_S = 5.0
BEAT_GRACE_S = 2.0

# Redis that ends this often in a row will not come up: disk full, a damaged file.
REDIS_ATTEMPTS = 5

# At first the data is cut where it is damaged; if Redis cannot read that either, it is set aside.
MENDINGS = 2

# Between two looks at the clients; children's ends and signals wake the supervisor at once.
TICK_S = 1.0
FAST_TICK_S = 0.1
STARTING_TICK_S = 0.01
HOUSEKEEPING_S = 60.0


class Supervisor:
    """The loop. One object, one process, one thread."""

    def __init__(self, launch: Launch, alive: FileLock, *, umask: int) -> None:
        now = time.monotonic()
        self.launch = launch
        self.folder = Path(launch.folder)
        self.alive = alive
        self.start_lock = FileLock(self.folder / "lock")
        self.arrival_ns = self.start_lock.touched_at_ns()
        self.guard = Guard()
        self.quiet = Quiet(launch.keep_alive_s, launch.first_client_s, now)
        self.wire: Wire | None = None
        self.ending = ""  # the reason, once there is one
        self.housekeeping_at = now + HOUSEKEEPING_S
        self.mendings = 0
        env = dict(os.environ)
        self.redis = Child(
            "Redis",
            command_line(launch.server, self.folder, Path(launch.socket)),
            log=self.folder / "redis.log",
            guard=self.guard,
            env=env,
            umask=0o077,
            is_asked=True,
        )
        if launch.package_path:
            found = env.get("PYTHONPATH")
            env = {**env, "PYTHONPATH": os.pathsep.join(filter(None, [launch.package_path, found]))}
        self.worker = Child(
            "the worker",
            launch.worker_command,
            log=self.folder / "worker.log",
            guard=self.guard,
            env=env,
            umask=umask,  # files that tasks write get the user's permissions, not this folder's
        )
        self.beat = Child(
            "beat",
            launch.beat_command,
            log=self.folder / "beat.log",
            guard=self.guard,
            env=env,
            umask=0o077,
        )
        self.beat_wanted = Beat()
        self.schedules = 0
        self.state = State(
            supervisor=Process(os.getpid(), mark_of(os.getpid())),
            socket=launch.socket,
            workers=launch.workers,
            threads=launch.threads,
            keep_alive_s=launch.keep_alive_s,
            version=launch.version,
            python=launch.python,
            host=os.uname().nodename,
            redis_server=launch.server,
        )

    def run(self) -> None:
        """Live until told to end, or until nobody needs the cluster."""
        wake, self._waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            # A handler and not SIG_IGN, which children would inherit.
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, self._terminate)

        self.guard.start()
        self.redis.start(time.monotonic())
        # The worker finds the socket in the state, so that comes first.
        self.publish(strict=True)
        self.worker.start(time.monotonic())
        self.publish()
        while not self.ending:
            select.select([wake], [], [], self.tick_s(time.monotonic()))
            try:
                while os.read(wake, 512):
                    pass
            except BlockingIOError:
                pass
            self.step(time.monotonic())
        self.end()

    def _terminate(self, *_: object) -> None:
        self.ending = self.ending or "asked to end"

    def tick_s(self, now: float) -> float:
        """How long the loop may sleep if nothing wakes it."""
        if self.wire is None:
            return STARTING_TICK_S if self.redis.runs else FAST_TICK_S
        keep = self.launch.keep_alive_s
        tick = FAST_TICK_S if keep is not None and keep < 10 * TICK_S else TICK_S
        waits = [child.due_in_s(now) for child in (self.redis, self.worker)]
        if self.beat_wanted.until > now:
            waits.append(self.beat.due_in_s(now))
        return min([tick, *(wait for wait in waits if wait is not None)])

    def step(self, now: float) -> None:
        """One turn: children first, then the quiet period, then housekeeping."""
        if self.ending:
            return
        if not self.alive.still_in_folder():
            self.ending = "the folder was removed or replaced"
            return
        if self.guard.check():
            say("the guard had died; a new one was started")
        if not self._mind_redis(now):
            self.ending = self.redis.message
            return
        if self.worker.check(now):
            say(self.worker.message)
            self.publish()
        if self._quiet_is_over(now):
            self._end_if_still_quiet(now)
        if self.beat.want(self.beat_wanted.wanted(now, self.schedules), now, grace_s=BEAT_GRACE_S):
            say(self.beat.message or ("beat runs" if self.beat.runs else "beat is not needed"))
            self.publish()
        if now >= self.housekeeping_at:
            self.housekeeping_at = now + HOUSEKEEPING_S
            cap_logs(self.folder)
        if not (self.folder / "state.json").exists():
            self.publish()  # `stop` would not know whom to ask

    def _mind_redis(self, now: float) -> bool:
        """Start Redis again when it ended; False when that is hopeless."""
        came_up = self.state.phase == "running"
        if self.redis.check(now):
            self.wire = None
            say(self.redis.message)
            if not self.redis.runs and self._mended():
                self.publish()
                return True
            if not self.redis.runs and (not came_up or self.redis.failures >= REDIS_ATTEMPTS):
                say(tail(self.redis.log))
                self.state = replace(self.state, phase="failed")
                return False
            self.publish()
        if self.wire is None and self.redis.runs:
            self._connect(now)
        elif self.wire is not None and not Path(self.launch.socket).exists():
            say("the socket was removed (a cleaner of temp folders?): Redis is started anew")
            self.redis.renew()
        return True

    def _mended(self) -> bool:
        """Make data readable that Redis could not read: at first what can be saved, then none."""
        log = self.redis.last_words()
        if self.mendings == MENDINGS or not repair.is_damaged(log):
            return False
        self.mendings += 1
        try:
            if self.mendings < MENDINGS:
                notice = repair.mend(self.folder, self.launch.server, log)
            else:
                notice = repair.set_aside(self.folder)
        except OSError as error:
            say(f"damaged data cannot be kept aside, so it is left as it is: {error}")
            return False
        say(notice)
        self.state = replace(self.state, notice=notice)
        return True

    def _connect(self, now: float) -> None:
        try:
            wire = Wire(self.launch.socket)
            wire.call("PING")  # refused while Redis reads its data
        except WireError:
            return
        self.wire = wire
        self.quiet.redis_came_back(now)
        self.state = replace(self.state, phase="running")
        self.publish()
        say("Redis is up")

    def _quiet_is_over(self, now: float) -> bool:
        if self.wire is None:
            return False  # nobody can be asked: not known to be quiet
        try:
            clients, active = self.wire.clients(), self.wire.active_jobs()
            self.schedules = self.wire.schedules()
        except WireError as error:
            say(f"Redis does not answer: {error}")
            self.wire.close()
            self.wire = None
            return False
        last, self.arrival_ns = self.arrival_ns, self.start_lock.touched_at_ns()
        came = last != self.arrival_ns
        return self.quiet.over(
            now,
            clients=clients,
            active_jobs=active,
            schedules=self.schedules,
            somebody_came=came,
        )

    def _end_if_still_quiet(self, now: float) -> None:
        if not self.start_lock.try_acquire():
            return  # somebody is attaching; look again at the next turn
        if self._quiet_is_over(now):
            self.ending = "nobody is connected and nothing is left to do"  # the lock is kept
        else:
            self.start_lock.release()

    def publish(self, *, strict: bool = False) -> None:
        """Write ``state.json``; a full disk ends a cluster only at its start (``strict``)."""
        self.state = replace(
            self.state,
            redis=self.redis.identity,
            worker=self.worker.identity,
            worker_command=tuple(self.launch.worker_command),
            beat=self.beat.identity,
            redis_message=self.redis.message,
            redis_restarts=self.redis.restarts,
            worker_message=self.worker.message,
            worker_restarts=self.worker.restarts,
            beat_message=self.beat.message,
            beat_restarts=self.beat.restarts,
        )
        try:
            state_file.write(self.folder, self.state)
        except OSError as error:
            if strict:
                raise
            say(f"state.json could not be written: {error}")

    def end(self) -> None:
        """Worker, then Redis, then the files; the locks go with the process."""
        say(f"ending: {self.ending}")
        failed = self.state.phase == "failed"
        mine = self.alive.still_in_folder()
        if not failed:
            self.state = replace(self.state, phase="stopping")
        if mine:
            self.publish()
        self.beat.stop(grace_s=BEAT_GRACE_S if self.redis.runs else 0.0)
        # Without Redis the worker can neither finish nor report anything.
        self.worker.stop(grace_s=WORKER_GRACE_S if self.redis.runs else 0.0)
        self.redis.stop(grace_s=REDIS_GRACE_S)
        if mine:
            Path(self.launch.socket).unlink(missing_ok=True)
            if failed:
                self.publish()
            else:
                state_file.remove(self.folder)
        say("ended")


def say(message: str) -> None:
    """One line in ``supervisor.log``."""
    with contextlib.suppress(OSError):  # disk full: the cluster can live without its log
        sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
        sys.stdout.flush()


def main(argument: str) -> None:
    """Take ``alive``, leave the starting process, and supervise until the end."""
    launch = Launch.load(argument)
    umask = os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # what the kernel's thread had blocked
    alive = FileLock(Path(launch.folder) / "alive")
    if not alive.acquire(5.0):
        say("another supervisor holds this folder")
        sys.exit(3)
    if os.fork():
        os._exit(0)  # the child keeps the lock
    os.setsid()
    code = 1
    supervisor: Supervisor | None = None
    try:
        supervisor = Supervisor(launch, alive, umask=umask)
        supervisor.run()
        code = 0
    except BaseException:  # whatever it is, its last words belong in the log
        say(traceback.format_exc())
        if supervisor is not None:
            supervisor.beat.stop(grace_s=0.0)
            supervisor.worker.stop(grace_s=0.0)
            supervisor.redis.stop(grace_s=REDIS_GRACE_S)
    finally:
        os._exit(code)
