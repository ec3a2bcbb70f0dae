"""The paper's Table II: COIN top-1 and what is retrieved. Another data set than ours."""

COLUMNS = ("Step", "Next", "Task", "Proc.", "Proc.+")
TABLE_II = {
    "full": ((62.1, 49.0, 92.5, 49.5, 51.6), (100.0, 100.0)),
    "infinigen": ((62.1, 48.3, 92.2, 49.5, 51.0), (100.0, 6.8)),
    "infinigenp": ((58.6, 45.6, 91.5, 46.4, 50.2), (50.8, 6.8)),
    "rekv": ((59.9, 46.3, 91.3, 47.6, 50.0), (58.4, 31.2)),
    "resv": ((62.0, 47.5, 92.2, 48.2, 50.5), (32.7, 2.5)),
}
"""Accuracies in percent in the order of :data:`COLUMNS`; retrieved in percent, frame and text."""
KINDS = ("step", "next", "task", "proc", "proc_plus")
"""The same questions by the names of a benchmark's kinds."""
