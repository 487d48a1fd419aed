"""Settings of the tests of ``autoprune train``."""

LENET = {"model": "lenet-300-100", "data": "digits", "steps": 40}
