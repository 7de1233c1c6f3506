"""How many there are, as people write it."""


def counted(count: int, one: str, several: str = "") -> str:
    """How many there are, in the number that goes with it; by an s, where no plural is given.

    >>> counted(1, "entry", "entries"), counted(2_000, "site")
    ('1 entry', '2,000 sites')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"
