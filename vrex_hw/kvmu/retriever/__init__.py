"""The retriever: selected clusters are found resident, or come over the host link to a slot."""

from vrex_hw.kvmu.retriever.layouts import DONE, JOB
from vrex_hw.kvmu.retriever.retriever import COUNTERS, Retriever

__all__ = ["COUNTERS", "DONE", "JOB", "Retriever"]
