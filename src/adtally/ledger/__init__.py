"""The ledger: what the lake holds, what was reconciled, and what it said."""
