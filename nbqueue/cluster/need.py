"""Who needs the cluster, and whether it needs a beat. Pure: counts and times are passed in."""

from __future__ import annotations

from dataclasses import dataclass

# A cell that removes a schedule and makes it again should not cost a new beat.
BEAT_LINGERS_S = 30.0


@dataclass
class Quiet:
    """Tells when nobody has needed the cluster for long enough. Pure: time is passed in."""

    keep_alive_s: float | None
    first_client_s: float
    busy_at: float
    client_seen: bool = False

    def over(
        self,
        now: float,
        *,
        clients: int,
        active_jobs: int,
        schedules: int = 0,
        somebody_came: bool = False,
    ) -> bool:
        """Note who is there, or came since the last look; True when the quiet period has passed.

        A schedule that is enabled keeps the cluster, unless it is to end with its last client
        (``keep_alive_s=0``).
        """
        self.client_seen = self.client_seen or clients > 0 or somebody_came
        needed = clients or active_jobs or (schedules and self.keep_alive_s != 0)
        if needed or somebody_came:
            self.busy_at = now
        if needed:
            return False
        if self.keep_alive_s is None:
            return False
        limit = self.keep_alive_s
        if not self.client_seen:
            limit = max(limit, self.first_client_s)
        return now - self.busy_at >= limit

    def redis_came_back(self, now: float) -> None:
        """Every connection was lost, without anybody having left: wait for a client anew."""
        self.busy_at = now
        self.client_seen = False


@dataclass
class Beat:
    """Tells whether a beat is wanted. Pure: time is passed in."""

    until: float = float("-inf")

    def wanted(self, now: float, schedules: int) -> bool:
        """Note how many schedules there are; True while a beat should run."""
        if schedules:
            self.until = now + BEAT_LINGERS_S
        return now < self.until
