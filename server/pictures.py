"""Pictures of the model, where its task draws some: a file for each round that is measured."""

from server.evaluation import Measurement
from server.run_folder import RunFolder


def kept(folder: RunFolder, round_number: int, measured: Measurement) -> Measurement:
    """`measured`, whose pictures lie in the run folder afterwards: samples-000010.png.

    Raises:
        StateError: the folder cannot be written.
    """
    for name, content in measured.pictures.items():
        folder.write(f"{name}-{round_number:06d}.png", content)
    return measured
