"""The KV prediction unit: HCU, WTU and the row aggregator behind AXI4-Lite and AXI4-Stream."""
