"""What to type where an optional package is missing: Murmura is on no index, so in its checkout."""


def extra(name: str) -> str:
    """The extra and the command that adds it, to follow "needs".

    >>> extra("text").partition(": ")[2]
    "in the checkout, .venv/bin/python -m pip install -c constraints.txt -e '.[text]'"
    """
    install = f".venv/bin/python -m pip install -c constraints.txt -e '.[{name}]'"
    return f"the extra {name}: in the checkout, {install}"
