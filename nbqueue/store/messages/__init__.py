"""Messages that are not with the broker: due later, waiting for a turn or a stage, or lost."""
