"""Search problems: plans, evaluations, the ledger, granularities."""
