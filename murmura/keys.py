"""Every configuration key in one line each, for `--list-keys`."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.config import defaults

MEANINGS = {
    "task": "what is learnt: a built-in task's name, or module:object of your own",
    "model": 'the task\'s model; "" takes its default',
    "rounds": "rounds of the run",
    "seed": "os: the system's secure randomness; a number: repeatable, for simulation only",
    "secure_aggregation": "the server sees sums alone: on, off; auto: where noise is distributed",
    "data.dir": 'folder of the data; "" searches the usual places',
    "data.name": "name of a data set on a hub, for tasks that load one",
    "population.size": "number of clients",
    "population.partition": "who holds what: iid, dirichlet, shards, quantity, natural",
    "population.examples_per_client": "nominal examples a client; 0 shares out the whole pool",
    "population.alpha": "dirichlet, quantity: small is uneven, large is even",
    "population.shards_per_client": "shards: number of label shards a client gets",
    "population.column": "natural: the column that says whose an example is",
    "population.partition_seed": "seed of the split, not of the training",
    "cohort.sample_rate": "probability that a client is asked in a round; 1 asks all",
    "cohort.timeout_s": "seconds to wait for answers; later ones are lost",
    "cohort.minimum_survivors": "share of those asked that must answer, else the round is void",
    "cohort.attempts": "tries at a round before the run stops; each is charged",
    "cohort.present_at_start": "share of all clients that a run begins with; others join later",
    "training.steps": "optimizer steps a round; 0: by epochs (not for unit record)",
    "training.epochs": "passes over the client's data a round, where steps is 0",
    "training.batch_size": "examples in a batch; unit record: the expected number",
    "training.sample_rate": "unit record: probability that an example takes part in a step",
    "training.optimizer": "the client's optimizer: sgd, adam",
    "training.learning_rate": "the client's learning rate",
    "training.momentum": "the client's momentum",
    "training.local_layers": "layers that stay at each client, a,b,c; none: all are shared",
    "training.algorithm": "fedavg, scaffold: control variates, kept by each client",
    "training.compression": "of an update: none, quantised (8 bits), top_k",
    "training.kept_share": "of an update's numbers that top_k sends",
    "training.proximal_term": "FedProx's mu; 0 is FedAvg",
    "training.max_physical_batch": "examples on the device at once; does not change the result",
    "privacy.unit": "whom the guarantee protects: record, client, none",
    "privacy.clipping_norm": "L2 bound on what one unit contributes",
    "privacy.noise_multiplier": "standard deviation of the noise / clipping_norm",
    "privacy.delta": "delta of every claim",
    "privacy.epsilon_budget": "a run whose plan exceeds it is refused",
    "privacy.clipping": "unit client: fixed, or adaptive to the updates' norms",
    "privacy.clipping_quantile": "adaptive: share of updates left whole",
    "privacy.clipping_learning_rate": "adaptive: how fast the clip moves",
    "privacy.count_noise_multiplier": "adaptive: noise on the count; 0: q*N/20, at least z",
    "privacy.noise": "whole: of one party; distributed: each client adds a share of the sum's",
    "privacy.correlation": "unit client: noise over rounds: none, tree, banded",
    "privacy.bands": "banded: number of bands, at most min_separation",
    "privacy.min_separation": "correlated: rounds between two of one client",
    "privacy.max_participations": "correlated: of one client; 0: what fits",
    "aggregation.corrupt_fraction": "share of the population that may work with the server",
    "aggregation.dropped_fraction": "share of a cohort that may be lost in a round",
    "aggregation.bits": "of each number sent: 16, 20, 24, 32; 0: the fewest that cost little",
    "aggregation.update_bound": "L2 bound of an update without its own noise; 0: by the plan",
    "aggregation.noise_family": "of distributed noise: discrete_gaussian, skellam",
    "aggregation.helpers": "fixed clients who undo masks, a,b,c; empty: a committee",
    "evaluation.private_every": "rounds between evaluations on the sites' data; 0: never",
    "evaluation.noise_multiplier": "noise on those scores",
    "evaluation.loss_bound": "a larger loss counts as this",
    "evaluation.holdout": "share of records kept from training for it",
    "statistics.private": "normalise inputs by noisy statistics of all sites",
    "statistics.noise_multiplier": "noise on those statistics",
    "statistics.channels": "size of the inputs' second axis, or 1",
    "statistics.low": "public lower end of the inputs",
    "statistics.high": "public upper end of the inputs",
    "text.labels": "all labels that a text may have, a,b,c",
    "text.encoder": "folder of a BERT, the same on every node",
    "text.encoder_sha256": "of its three files, one after another",
    "text.layers": "of the BERT, the first so many; 0: all",
    "audit.canaries": "canaries in a simulation; -1: automatic, 0: none",
    "server.optimizer": "the server's step: sgd, adam, yogi, adagrad",
    "server.learning_rate": "the server's learning rate",
    "server.momentum": "the server's momentum (sgd)",
    "server.beta1": "adam, yogi, adagrad: decay of the first moment",
    "server.beta2": "adam, yogi: decay of the second moment",
    "server.tau": "adam, yogi, adagrad: keeps the divisor away from 0",
    "server.aggregation": "mean, or a robust rule: median, krum, ... (docs/robust.md)",
    "server.byzantine": "clients that may send anything: a share, or from 1 on a number",
    "server.norm_bound": "longer updates are refused, or cut by some rules; 0: none",
    "server.strikes": "rejections after which a client is asked no more; 0: never",
    "runtime.device": "auto, cpu, cuda, cuda:N, mps; several: all, cuda:0,cuda:1, cpu,cpu",
    "runtime.sharded": "several devices hold a share of the parameters each, not all of them",
    "runtime.torch_threads": "threads of one training",
    "runtime.gpu_memory_fraction": "share of the GPU that one process may take",
    "runtime.evaluate_every": "rounds between two evaluations on public data",
    "runtime.engine": "training of a cohort: auto, measured, messages, threads, stacked, ray",
    "runtime.autocast": "products of a forward pass in bfloat16; not at record level",
    "output.dir": "folder of the run folders",
    "output.run_id": 'name of the run folder; "" makes one',
    "output.resume": "continue the run folder of that name; use --resume",
    "output.tensorboard": "write TensorBoard's files as well",
    "output.mlflow": 'MLflow\'s SQLite file, in output.dir or by a whole path; "": none',
    "output.wandb": "Weights & Biases: off, offline (files in the run folder), online",
    "output.origins": "where each value came from; written by murmura",
    "output.bundle_signature": "the server's signature of the app bundle; written by murmura",
}
_ONE_LINE_EACH = 140
_SET_BY_US = ("output.resume", "output.origins", "output.bundle_signature")


def print_keys(console: Console) -> None:
    """Print every key that may be set, its default and its meaning."""
    if not console.is_terminal:
        console.width = _ONE_LINE_EACH  # to be searched line by line
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("key", style="cyan", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("meaning")
    for key, default in defaults().items():
        if key not in _SET_BY_US:
            shown = str(default).lower() if isinstance(default, bool) else f"{default}"
            table.add_row(Text(key), Text(shown or '""'), Text(MEANINGS[key]))
    console.print(table)
