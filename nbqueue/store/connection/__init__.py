"""Connections to Redis: how long they wait, what their errors mean, and TLS."""
