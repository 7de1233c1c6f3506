"""Where a round's figures go besides the run folder's own files: the same figures to each.

figures      what is told of a round: names and finite numbers
fan_out      every sink of a run, none of which can end it or hold it up
opening      which sinks a run's configuration asks for
tensorboard  events in the run folder
mlflow       a SQLite store of MLflow's on this machine (extra `mlflow`)
wandb        Weights & Biases, offline or online (extra `wandb`)
"""
