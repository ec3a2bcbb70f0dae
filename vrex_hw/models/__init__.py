"""Behavioural models that ship with the design: what is outside the core, for benches and users."""
