"""Pure views: a picture of a job goes in, text, HTML or PNG comes out. No clock, no I/O."""
