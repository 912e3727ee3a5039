"""The job log and the catalogue of jobs: the only way anything about a job is written or read."""
