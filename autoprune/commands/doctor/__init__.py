"""``autoprune doctor``: check packages, devices and directories."""
