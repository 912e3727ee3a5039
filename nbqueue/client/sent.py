"""What was sent: a job's function, and what each of its items is called with.

Both are kept from the submission, or read from the store by whoever asks first.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from nbqueue.core.errors import NbqueueError, UsageError
from nbqueue.core.fold import JobState
from nbqueue.core.plan import block_number
from nbqueue.core.records import JobSpec
from nbqueue.store.code.functions import Kind
from nbqueue.store.values.arguments import Block

if TYPE_CHECKING:
    from nbqueue.client.client import Client


class Sent:
    """One job as it was submitted."""

    def __init__(self, client: Client, spec: JobSpec) -> None:
        self.client = client
        self.state = JobState(spec)
        self.blocks: dict[int, bytes] = {}
        """Packed argument blocks kept from the submission."""

    @property
    def id(self) -> str:
        """The job's id."""
        return self.state.spec.id

    @property
    def name(self) -> str:
        """The job's name."""
        return self.state.spec.name

    def block(self, number: int) -> Block:
        """Give an argument block: kept from the submission, or read from the store."""
        return self.client.block(self.id, number, self.blocks.get(number))

    def call(self, i: int, *, opened: bool = False) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give what an item was called with; ``opened``, with the values of Refs."""
        number, place = self.where(i)
        block = self.block(number)
        return block.opened(place) if opened else block.call(place)

    def where(self, i: int) -> tuple[int, int]:
        """Give the number of the argument block that an item is in, and its place there."""
        stage = self.state.stage_of(i)
        if stage is None:
            return divmod(i, self.state.spec.block or 1)
        number, place = divmod(i - stage.start, stage.spec.block or 1)
        return block_number(stage.number, number), place

    def node(self, i: int) -> tuple[str, str]:
        """Give what an item of a workflow calls, and with which arguments of its own, as text."""
        stage = self.state.stage_of(i)
        assert stage is not None
        if stage.kind == "spreads":
            return f"{stage.spec.task} (fan-out)", ""
        from nbqueue.client.canvas.written import value

        args, kwargs = self.call(i)
        shown = [*map(value, args), *(f"{k}={value(v)}" for k, v in kwargs.items())]
        return stage.spec.task, ", ".join(shown)

    def function(self) -> Any:
        """Give the function, as it was sent.

        Raises:
            UsageError: none was: the job's task is a Celery project's.
        """
        if not self.state.function and not self.state.stages:
            task = self.state.task
            raise UsageError(
                f"job {self.name!r} runs {task}, a task of a Celery project: the function is that "
                f"project's (nq.tasks(app)[{task!r}] calls it here, and sends it again)"
            )
        return self.client.functions.get(self.state.function)

    def kind(self) -> Kind:
        """Say what was sent: a function, a cell or an expression."""
        address = self.state.spec.function
        return self.client.functions.kind(address) if address else "function"  # a workflow's

    def signature(self) -> inspect.Signature | None:
        """Give the function's signature; ``None`` when it cannot be loaded here."""
        try:
            return inspect.signature(self.function())
        except (NbqueueError, TypeError, ValueError):
            return None
