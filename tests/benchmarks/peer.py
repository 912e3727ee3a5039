"""What a peer is: one way of running a function over many arguments in other processes.

A peer is started, measured and stopped inside a process of its own (`child`), so that its threads,
imports and leaks cannot touch another peer's figures.
"""

from abc import ABC, abstractmethod
from pathlib import Path


class Peer(ABC):
    """One library in one mode. `folder` is private to this run and deleted afterwards."""

    def __init__(self, workers: int, folder: Path) -> None:
        self.workers = workers
        self.folder = folder

    @abstractmethod
    def start(self) -> None:
        """Return once every worker can run a task."""

    @abstractmethod
    def map_noops(self, n: int) -> list[int]:
        """Return what `noop` gave for `0..n-1`, in order."""

    def call(self, value: int) -> int:
        """Return what one call of `noop` gave: one round trip."""
        return self.map_noops(1)[0]

    def ask(self) -> int:
        """Ask the workers what they are; return how many have answered."""
        raise NotImplementedError

    def chord(self, n: int) -> int:
        """Return the sum of what `noop` gave for `0..n-1`, taken by a task that waits for all."""
        raise NotImplementedError

    @abstractmethod
    def sleep_map(self, durations_s: list[float]) -> None:
        """Return when a nap of each duration has been taken."""

    @abstractmethod
    def stop(self) -> None:
        """Leave no process and no file behind."""
