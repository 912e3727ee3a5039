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
from nbqueue.client.connecting import default_client
from nbqueue.client.job import Job
from nbqueue.client.options import check_name
from nbqueue.client.schedules import making
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.terms import Terms
from nbqueue.client.schedules.timed import MakeRule
from nbqueue.core.plan import One, Other
from nbqueue.store.schedules.schedules import Definition


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
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise TypeError(
            f"a signature takes a tuple or a list of more arguments, not {args!r}: for one, "
            f"args=({args!r},)"
        )
    given = Given(args=tuple(args), kwargs=dict(kwargs or {}), options=dict(options or {}))
    linked = {key: given.options.pop(key) for key in ("link", "link_error") if key in given.options}
    if linked:
        signature = checked(signature).clone()
        for key, found in linked.items():
            for other in found if isinstance(found, (list, tuple)) else [found]:
                getattr(signature, key)(other)
    return compiling.draft(signature, given)


def scheduled(
    signature: Any,
    make_rule: MakeRule,
    name: str | None,
    args: Iterable[Any],
    kwargs: dict[str, Any] | None,
    options: dict[str, Any],
) -> Schedule:
    """Schedule a composed signature, with more arguments and options for its runs."""
    terms, rest = Terms.split(options)
    draft = drafted(signature, args, kwargs, rest)
    step = draft.steps[0] if len(draft.steps) == 1 else None
    if step is not None and len(step.calls) == 1:  # a call is a call, however it was written
        own = {key: value for key, value in options.items() if key not in rest}
        return step.task._schedule(make_rule, name, *step.calls[0], own)
    client = default_client()
    timetable, zone = making.times(client, make_rule, terms)
    spec, template, blobs, call_blobs = workflow.template(client, draft, check_name(name))
    return making.add(
        client,
        Definition(
            name or spec.task,
            spec,
            b"",
            timetable,
            zone,
            terms.overlap,
            client.now(),
            blobs,
            call_blobs,
            template,
        ),
    )


def go_on(job: Job, signature: Any) -> Job:
    """Send a composed signature that takes what a job returns, once that has ended."""
    live = job._live
    result = live.state.result
    single = live.state.spec.block == 0 if result is None else isinstance(result, One)
    draft = compiling.draft(signature, Given(take=Other(job.id, single)))
    return workflow.submit(live.client, replace(draft, follows=(job.id,)))
