"""What both sides must agree on; pure, deterministic given its inputs.

errors      the exception tree; extras: what to type where a package is missing
config      the run's frozen configuration; the only reader of Flower's raw run config
parameters  model parameters <-> one flat vector; vectors: without a framework
messages    the wire contract: typed messages <-> RecordDict; also query_messages, wire
downloads   a model's objects with one copy each; flower_arrays, object_transfer, large_field
durable     files that survive a crash; signed_lines: entries of signed logs
audit_log   a home's audit log; audit_events: what it may say; audit_check: whether it is whole
home_log    what one process enters into it; log_lines, prometheus: other logs, and numbers
counting    how many there are, in the number that goes with it
task        the Task protocol: model, data of one site, loss, metrics; task_settings
partition   who holds what in a demonstration: IID, Dirichlet, shards, quantity skew, natural
secagg      secure aggregation: masks, shares, keys, graph, quantisation (likewise pure)
dp          clipping, noise, sampling, plan, accounting (no flwr, no torch)
app_signatures  what a server signs: app bundles, rosters
saved_model a run's model, opened again; looking: names for people; measuring, exporting
question    why a model says what it says; attribution: by which parts; explained: to be shown
tasks       built-in tasks, one file each
"""
