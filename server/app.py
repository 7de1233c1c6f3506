"""The Flower ServerApp: reads the run config and runs the federation over whatever grid it gets."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.bounded_grid import bounded
from server.coordinator import run
from shared.config import RunConfig

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one federation; the results lie in its run folder."""
    run(RunConfig.from_run_config(context.run_config), bounded(grid))
