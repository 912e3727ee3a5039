"""Numbers that shape behaviour, with what goes wrong when they are raised or lowered."""

from __future__ import annotations

from typing import Final

COMMIT_INTERVAL_S: Final = 0.05
"""Outcomes are written at most this often by a range, and a range gives away its rest after this
long. Lower: more messages and scripts for tiny items (1.5 ms of a worker's main process each).
Higher: progress stutters and slow items hold their neighbours longer."""

FIRST_SPLIT_S: Final = 0.005
"""The same for a job's first message, which holds all of it: soon enough to leave no worker idle,
late enough that a map of ten tiny items stays one message."""

BLOB_BYTES: Final = 1_000_000
"""Values larger than this leave the message and travel as blobs, once. Lower: a round trip and a
file for every middling array; higher: the same bytes sent again with each function and block."""

BLOCK_BYTES: Final = 500_000
"""Aim for argument blocks of this many pickled bytes: a worker reads a whole block to run one item
of it."""

BLOCK_ITEMS: Final = 10_000
"""Most items in an argument block, for the same reason."""

JOB_ITEMS: Final = 20_000_000
"""Most items in a job, unless ``$NBQUEUE_MAX_ITEMS`` says otherwise. It is there for iterables that
do not end: lower, and it meets jobs that are meant; higher, and such a mistake is found later. A
client that follows a job holds some 30 bytes an item."""

JOB_BYTES: Final = 4_000_000_000
"""Most bytes of packed arguments in a job, unless ``$NBQUEUE_MAX_ARGUMENT_BYTES`` says otherwise,
for the same reason: Redis holds them in memory for as long as the job is kept. Values larger than
`BLOB_BYTES` are not among them."""

STREAM_ITEMS: Final = 40_000
"""How many items ``imap`` is ahead of the results that were taken, unless its caller says
otherwise. Fewer: parts of quick items are too small to be worth a job; more: more memory."""

STREAM_BYTES: Final = 64_000_000
"""How many bytes of arguments ``imap`` is ahead, large values included."""

INLINE_BYTES: Final = 50_000
"""A single call's arguments travel inside the message up to this size; it saves a round trip, but
Redis holds the message twice while it is being worked on."""

RESULT_EXPIRES_S: Final = 7 * 24 * 3600
"""How long a finished job is kept, from its end."""

KEEP_EXTRA_S: Final = 24 * 3600
"""Functions and blobs outlive the jobs that name them by this much."""

OUTPUT_BYTES: Final = 100_000_000
"""How much of all outputs of a job is kept; store, clients and a saved notebook have to hold it."""

POLL_S: Final = 0.1
"""A blocked wait looks up this often, so that the notebook's stop button (SIGINT) is answered."""

CONNECT_TIMEOUT_S: Final = 3.0
"""Longest wait for a broker or store that does not answer."""

LEASE_S: Final = 10.0
"""How long a worker on Redis holds a message without renewing that (which it does three times as
often). Shorter: a worker that stands still for a moment loses what it runs, and it runs twice;
longer: what a dead worker held waits."""
