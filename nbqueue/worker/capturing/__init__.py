"""What an item prints, logs, plots or counts, caught while it runs and handed to the reporter."""
