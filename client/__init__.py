"""Sees private data; sends only clipped or noised vectors.

app           Flower ClientApp: handlers only
site          who this node is and which data it holds
trainer       local SGD; DP-SGD with Opacus behind the same face
dp_optimizer  Opacus' optimizer with our noise, our divisor and no way past the clip
update        what may leave: difference -> clip -> check
session       one run as this process sees it
queries       private evaluation and statistics of the inputs
charging      what leaves is charged first
ledger        the site's durable privacy budget; its journal, its state
virtual_ledgers  the same for the many clients of a simulation
edge          nothing of an exception but its class goes on to the server
masking       the client's stages of secure aggregation
aggregation   what it keeps of them between messages
identity      its key and the roster of all others'
"""
