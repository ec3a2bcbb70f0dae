"""From the paper's mode to the recommended one, a change at a time (the paper's is Fig. 19)."""

ABLATION = {
    "contiguous chunks, no clusters": "chunks",
    "clusters, fixed number, no WiCSum": "topk_clusters",
    "paper": "resv",
    "+ floor of 4": "resv:k_min=4",
    "+ cap of 16": "resv:k_min=4,k_max=16",
    "+ hash before RoPE": "resv:k_min=4,k_max=16,hash_keys=pre_rope",
    "+ threshold 5": "resv:k_min=4,k_max=16,hash_keys=pre_rope,hamming_threshold=5",
    "recommended (+ caps and windows)": "recommended",
    "recommended, previous layer's query": "recommended:query=previous_layer",
    "recommended, bits of the mean": "recommended:cluster_bits=mean",
    "recommended, a table a layer": "recommended:cluster_scope=per_layer",
}
"""What each step is called, and its method."""
