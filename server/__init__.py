"""Sees sums; holds the run.

app          Flower ServerApp
coordinator  a run from its first check to its report
preparation  task and model, checked before anything is written
federation   the state of a run, and one round of it
roster       who takes part, by stable names
enrolment    asks for these names, at the start and between rounds
cohort       who is asked in a round
exchange     messages out, replies in, until a deadline
sizes        how many bytes an honest reply has at most
bounded_grid Flower's grid over HTTP, with replies bounded before they are put together
collection   a cohort's updates, one by one or as a sum under masks
aggregation  sum -> update, divided by a fixed public constant
robust       sums that a minority of clients cannot steer; quarantine
unmasking    the server's stages of secure aggregation
secure_sum   its two exchanges over a grid
queries      private evaluation and statistics, asked of the sites
replies      a client's answer, or why there is none
optimizer    the step on the global parameters
global_model the parameters and their step; at_rest: large ones in a file between rounds
budget       what was charged; refuses the round that would overspend
checkpoint   server state <-> disk
evaluation   measures the model on public data
run_folder   where results go, written whole or not at all
recording    metrics, log; sinks: TensorBoard, MLflow, Weights & Biases
progress     what a run tells while it goes
environment  what it ran on
report       report.json and its forms, model metadata, summary; verification

A server that serves (docs/deployment.md), none of which an app imports:

settings, home, founding          server.toml; files, private and whole; a new server
authority, app_key                certificates; the signing key
invitations, sites, admission     tokens; who is in; how a token becomes a site
refusals, limits, peers           codes; what one peer may take; who is at the other end
listener, public_api, fleet_gate  the public port: TLS, paths, what may go to Flower; whole_body
mailbox                           which site's question is worth passing on
local_api, local_owner            the port on loopback, and whose connections it takes
run_numbers                       how far the newest run is, for metrics
recorder, run_watch               where events go; each run's plan, beginning and end
superlink, sealed_objects         Flower's SuperLink, and nothing on disk in clear
serving, service, children        the process that serves; what keeps it alive
local_client                      what a command asks of the service
"""
