r"""The Redis schema, whole.

    nbq:{id}:meta      hash    n left round cancelled last origin name task submitted finished
                               success failure revoked blocks watched plan, expires (ms),
                               said (bytes of outputs), and
                               call: the sealed arguments of a single call   (or just ``gone``
                               after forget)
    nbq:{id}:log       stream  k kind, b body, s signature           (`core.records`)
    nbq:{id}:done:R    string  bitmap: item i of round R is recorded
    nbq:{id}:args      hash    block number -> signature + packed arguments
    nbq:{id}:tries     hash    "round:item" -> how often it was begun after a worker died, and
                               "why:round:item:how" -> how often its process ended so; expires
                               by itself
    nbq:{id}:retries:R hash    item -> how often it was put off in round R; expires by itself
    nbq:{id}:recalls:R hash    item -> signature + its arguments, if changed; expires by itself
    nbq:{id}:passed    hash    id of a message that is being worked on -> from which of its items on
                               it was passed on
    nbq:{id}:held      string  the message of a job that waits for others, until they have ended
    nbq:{id}:then      set     ids of the jobs that wait for this one   (meta ``then``)
    nbq:{id}:claim     string  some process is sending what is held or ready; expires in seconds
    nbq:{id}:plan      hash    of a workflow, what is known of its stages    (`lua/stages.lua`)
    nbq:{id}:ready     hash    of a workflow, stages to be sent, or to be recorded as failed
    nbq:ready          set     ids of jobs to look at: what they, or stages of them, waited for has
                               ended
    nbq:later          zset    messages that are kept, by when they are due   (`later`)
    nbq:limit:TASK     hash    rate tokens at promised slots, and since when   (`turns`)
    nbq:slots:TASK     zset    messages that hold a slot of a task, by when their leases end
    nbq:waiting:TASK   zset    kept messages that wait for such a slot, by time of submission
    nbq:paced:TASK     zset    kept messages that wait for the rate of a task, by when they are due
    nbq:holders        hash    message that holds a slot -> task
    nbq:rates          hash    task -> items a second, set from outside, overruling the jobs
    nbq:later:bell     list    a word that the first of them is another one
    nbq:lease:MESSAGE  string  which delivery of a message is being run, on a broker without leases;
                               it expires, unless renewed   (`redelivered`)
    nbq:aside          zset    messages that came again meanwhile, by when to look at them
    nbq:aside:messages hash    those
    nbq:lookout        string  the process that looks for lost messages   (`lookout`)
    nbq:jobs           zset    id by time of submission
    nbq:active         zset    ids of jobs with something left to do
    nbq:names          hash    name -> id of the latest job of that name
    nbq:rejected       hash    what was refused because of its signature -> how often; `rejections`
    nbq:writes:CLIENT  string  the trace of a client's try to write; expires in a minute
    nbq:kept           string  that functions and blobs of long jobs were renewed (`keeping`)
    nbq:pruned         string  that expired jobs were taken out of the two lists above (`pruning`)
    nbq:nodes          zset    names of workers by the time at which they last said that they live
    nbq:fn:ADDRESS     string  a pickled function
    nbq:cache:DIGEST   string  signature + a result and what its item displayed
    nbq:blob:ADDRESS   list    chunks of a large value
    nbq:schedules      set     names of schedules
    nbq:schedule:NAME  hash    definition (sealed), kept, n_runs, and while paused: paused sent
                               (`schedules`)
    nbq:schedule:NAME:runs     zset   job id (or "skipped TIME") by the time it was due
    nbq:schedule:NAME:ended    hash   job id -> JSON of how it ended
    nbq:schedule:NAME:kept:KEY        copy of a function or blob that must not expire
    nbq:beat:…         RedBeat's: an entry for each schedule that is not paused, and beat's lock
    nbq:bell:CLIENT    channel "job prev id kind\\n" + signature and body of small records
    nbq:bell:job:ID    channel the same, when somebody else watches (meta ``watched``)

The ``{id}`` keys of a job expire together, ``expires`` or else `RESULT_EXPIRES_S` after its end;
while it runs they never do. ``meta`` is for the scripts and for listings: nothing that is in it is
trusted or unpickled. The bell may be lost (pub/sub is fire and forget): it only says that the log
has grown, and a follower that missed it finds the record in the log.
"""

from __future__ import annotations

PREFIX = "nbq:"

JOBS = PREFIX + "jobs"
ACTIVE = PREFIX + "active"
NAMES = PREFIX + "names"
READY = PREFIX + "ready"
LATER = PREFIX + "later"
LATER_BELL = LATER + ":bell"
KEPT = PREFIX + "kept"
PRUNED = PREFIX + "pruned"
NODES = PREFIX + "nodes"
LOOKOUT = PREFIX + "lookout"
ASIDE = PREFIX + "aside"
ASIDE_MESSAGES = ASIDE + ":messages"
HOLDERS = PREFIX + "holders"
RATES = PREFIX + "rates"
REJECTED = PREFIX + "rejected"
SCHEDULES = PREFIX + "schedules"
BEAT = PREFIX + "beat:"
"""Prefix of RedBeat's keys; those of its own have another colon (``nbq:beat::lock``)."""


def base(job_id: str) -> str:
    """Common beginning of a job's keys."""
    return f"{PREFIX}{{{job_id}}}"


def meta(job_id: str) -> str:
    """Key of a job's counters."""
    return base(job_id) + ":meta"


def log(job_id: str) -> str:
    """Key of a job's log."""
    return base(job_id) + ":log"


def done(job_id: str, round_: int) -> str:
    """Key of the done-bitmap of one round."""
    return f"{base(job_id)}:done:{round_}"


def args(job_id: str) -> str:
    """Key of a job's argument blocks."""
    return base(job_id) + ":args"


def tries(job_id: str) -> str:
    """Key of the counters of items that were begun after a death."""
    return base(job_id) + ":tries"


def retries(job_id: str, round_: int) -> str:
    """Key of how often items were put off until later in one round."""
    return f"{base(job_id)}:retries:{round_}"


def recalls(job_id: str, round_: int) -> str:
    """Key of the changed arguments of items that were put off in one round."""
    return f"{base(job_id)}:recalls:{round_}"


def passed_on(job_id: str) -> str:
    """Key of what messages that are being worked on have passed on."""
    return f"{base(job_id)}:passed"


def held(job_id: str) -> str:
    """Key of the message of a job that waits for others."""
    return base(job_id) + ":held"


def claim(job_id: str) -> str:
    """Key of the claim on a held message."""
    return base(job_id) + ":claim"


def plan(job_id: str) -> str:
    """Key of what is known of a workflow's stages."""
    return base(job_id) + ":plan"


def ready(job_id: str) -> str:
    """Key of a workflow's stages that are to be sent, or to be recorded as failed."""
    return base(job_id) + ":ready"


def function(address: str) -> str:
    """Key of a pickled function."""
    return f"{PREFIX}fn:{address}"


def cached(digest: str) -> str:
    """Key of a result in the cache."""
    return f"{PREFIX}cache:{digest}"


def limit(task: str) -> str:
    """Key of what is known of a task's limits."""
    return f"{PREFIX}limit:{task}"


def slots(task: str) -> str:
    """Key of a task's slots."""
    return f"{PREFIX}slots:{task}"


def paced(task: str) -> str:
    """Key of the messages that wait for a task's rate."""
    return f"{PREFIX}paced:{task}"


def waiting(task: str) -> str:
    """Key of the messages that wait for a task's slots."""
    return f"{PREFIX}waiting:{task}"


def lease(message_id: str) -> str:
    """Key of which delivery of a message is being run."""
    return f"{PREFIX}lease:{message_id}"


def blob(address: str) -> str:
    """Key of a blob's chunks."""
    return f"{PREFIX}blob:{address}"


def schedule(name: str) -> str:
    """Key of a schedule."""
    return f"{PREFIX}schedule:{name}"


def schedule_runs(name: str) -> str:
    """Key of a schedule's runs."""
    return schedule(name) + ":runs"


def schedule_ended(name: str) -> str:
    """Key of how a schedule's runs ended."""
    return schedule(name) + ":ended"


def schedule_kept(name: str, key: str) -> str:
    """Key of a schedule's copy of what another key holds."""
    return f"{schedule(name)}:kept:{key}"


def writes(client_id: str) -> str:
    """Key that a client writes to see whether Redis takes writes."""
    return f"{PREFIX}writes:{client_id}"


def bell(client_id: str) -> str:
    """Channel on which a client hears of its own jobs."""
    return f"{PREFIX}bell:{client_id}"


def job_bell(job_id: str) -> str:
    """Channel on which anybody hears of one job."""
    return f"{PREFIX}bell:job:{job_id}"
