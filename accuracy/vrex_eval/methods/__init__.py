"""The methods, one file each, and their registry."""

from vrex_eval.methods.registry import METHODS, SLOW, make

__all__ = ["METHODS", "SLOW", "make"]
