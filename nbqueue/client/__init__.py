"""What runs in the kernel or a script: client, tasks, jobs, futures, frames.

The way of a job: `task` → `dispatch` (pack, publish) → … → `follower` (the log comes back) → `job`
(the fold, futures) → `frame`. pandas is imported when the first frame is asked for.
"""
