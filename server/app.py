"""The Flower ServerApp: reads the run config and runs the federation over whatever grid it gets."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from shared.config import RunConfig
from shared.errors import FederationError
from shared.loading import loading
from shared.memory_use import hold_parts, keep_for_good

with loading():
    from server.bounded_grid import bounded
    from server.coordinator import run
    from server.orphan import end_with_parent
    from server.progress_file import kind_of

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one federation; the results lie in its run folder."""
    limited = bounded(grid)
    if limited is not grid:
        end_with_parent()
        hold_parts()
        keep_for_good()
    try:
        run(RunConfig.from_run_config(context.run_config), limited)
    except FederationError as error:
        if limited is not grid:
            # Flower keeps an exception's text alone: whoever submitted the run needs its kind
            # too, where there is no run folder yet to find it in.
            error.args = (f"{kind_of(error)}: {error}",)
        raise
