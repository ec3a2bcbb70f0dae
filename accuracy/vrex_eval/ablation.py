"""From the paper's mode to the one we recommend, a change at a time (the paper's is Fig. 19)."""

CAPPED = "resv:k_min=4,k_max=16"
TIGHT = f"{CAPPED},hash_keys=pre_rope,cluster_cap=32,hamming_threshold=3"
ABLATION = {
    "contiguous chunks, no clusters": "chunks",
    "clusters, fixed number, no WiCSum": "topk_clusters",
    "paper": "resv",
    "+ floor of 4, cap of 16": CAPPED,
    "+ hash before RoPE": f"{CAPPED},hash_keys=pre_rope",
    "+ tight clusters: threshold 3, cap 32": TIGHT,
    "+ windows of 32": f"{TIGHT},recent_window=32,join_window=32",
    "+ 4 clusters a row at text (tight)": "recommended:estimate=false",
    "+ means stand for the rest (recommended)": "recommended",
    "recommended, previous layer's query": "recommended:query=previous_layer",
    "recommended, bits of the mean": "recommended:cluster_bits=mean",
    "tight, a table a layer": "recommended:estimate=false,cluster_scope=per_layer",
    "tight, previous layer's query": "recommended:estimate=false,query=previous_layer",
}
"""What each step is called, and its method."""
