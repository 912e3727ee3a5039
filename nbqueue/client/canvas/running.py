"""Running workflows: compile, check, send; and to go on from a job that runs already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from nbqueue.client.canvas import compiling
from nbqueue.client.canvas import sending as workflow
from nbqueue.client.canvas.compiling import Given
from nbqueue.client.canvas.composition import checked
from nbqueue.client.canvas.steps import Draft
from nbqueue.client.client import default_client
from nbqueue.client.job import Job
from nbqueue.core.plan import One, Other


def start(
    signature: Any,
    name: str | None = None,
    args: Iterable[Any] = (),
    kwargs: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Job:
    """Send a composed signature, with more arguments and options for this run."""
    draft = drafted(signature, args, kwargs, options)
    return workflow.submit(default_client(), draft, name)


def drafted(
    signature: Any,
    args: Iterable[Any] = (),
    kwargs: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Draft:
    """Give the steps of a signature with more arguments and options, and what they link to it."""
    given = Given(args=tuple(args), kwargs=dict(kwargs or {}), options=dict(options or {}))
    linked = {key: given.options.pop(key) for key in ("link", "link_error") if key in given.options}
    if linked:
        signature = checked(signature).clone()
        for key, found in linked.items():
            for other in found if isinstance(found, (list, tuple)) else [found]:
                getattr(signature, key)(other)
    return compiling.draft(signature, given)


def go_on(job: Job, signature: Any) -> Job:
    """Send a composed signature that takes what a job returns, once that has ended."""
    live = job._live
    result = live.state.result
    single = live.state.spec.block == 0 if result is None else isinstance(result, One)
    draft = compiling.draft(signature, Given(take=Other(job.id, single)))
    return workflow.submit(live.client, replace(draft, follows=(job.id,)))
