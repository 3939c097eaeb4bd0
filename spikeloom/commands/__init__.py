"""Verbs of the command line; each is thin over :mod:`spikeloom.pipeline`."""
