"""Sees private data; sends only clipped or noised vectors.

app           Flower ClientApp: handlers only
site          who this node is and which data it holds
session       one run: what is checked, charged, bounded, noised and masked
sessions      of this process, one a run; what trains is loaded by the first that trains
computing     what reads the records, behind one face: in_process, or remote
trainer       local SGD; DP-SGD with Opacus behind the same face
dp_optimizer  Opacus' optimizer with our noise, our divisor and no way past the clip
queries       rows for private evaluation and statistics of the inputs
update        what may leave: difference -> clip -> check; sums with noise
charging      what leaves is charged first
ledger        the site's durable privacy budget; its journal, its state
virtual_ledgers  the same for the many clients of a simulation
edge          nothing of an exception but its class goes on to the server
masking       the client's stages of secure aggregation
aggregation   what it keeps of them between messages
identity      its key and the roster of all others'

A site of a federation across machines has these besides:

guard         takes messages, lets answers out once; handling: what becomes of one; service
fleet         the connection to Flower's server; letters, fleet_errors, back_off, tls
in_flight     what outlives a crash; kept: in which form
worker        computes with an accepted bundle's code; worker_process, workers, sandbox, worker_wire
lent_memory   through which models pass between guard and worker
bundle        looked at before it is unpacked; approval: whose code runs
policy        what the owner allows; site_settings: site.toml; home: where it all lies
joining       from an invitation to a home; site_keys, certificates, asking, renewal
recorder      how the guard says what happened; metrics: counts it
"""
