"""How the items of a message ended, and what they said meanwhile: gathered, and to the job log."""
