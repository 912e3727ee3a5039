"""What is kept in Redis and how it gets there: job log, arguments, functions, blobs, messages.

Each folder leans only on those below it:

    schedules    what is submitted again and again
    messages     messages that wait: due later, for their turn, for a stage; and what got lost
    broker       messages as they are, and the broker that carries them
    log          the job log, and the catalogue of jobs
    code         functions, cells and notebooks as they travel
    values       values to bytes and back: arguments, results, blobs
    connection   connections to Redis, and what their errors mean

Beside them `keys` (the Redis schema, whole), `signing` (nothing is unpickled that is not signed
with the key), `wiring` (where a worker belongs), `lua/` (all that must not happen in part), and
what workers say of themselves: `nodes`, `vitals`, `rejections`.

This room runs in every process. It knows bytes, keys, scripts and signatures; it runs no task
and waits for nobody.
"""
