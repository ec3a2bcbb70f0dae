"""The methods, one file each, and their registry."""

from vrex_eval.methods.registry import METHODS, make

__all__ = ["METHODS", "make"]
