"""Audits of what a run promises: record and replay, the mechanism alone, canaries in the run."""
