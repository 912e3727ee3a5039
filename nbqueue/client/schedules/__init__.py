"""Tasks that are run at certain times: what a person writes, and what the store keeps of it."""
