"""Numbers in Prometheus' text format, which a scraper or node_exporter's textfile collector reads.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
"""

from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4"


def metric(name: str, kind: str, values: Mapping[str, float], label: str = "") -> str:
    r"""One metric of ours with all its values.

    Args:
        name: Without our prefix.
        kind: gauge or counter.
        values: By what the label says; of a metric without a label, one value at "".
        label: Name of the label.

    >>> metric("sites", "gauge", {"": 3})
    '# TYPE murmura_sites gauge\nmurmura_sites 3\n'
    """
    rows = "".join(
        f"murmura_{name}{_labelled(label, key)} {value}\n" for key, value in sorted(values.items())
    )
    return f"# TYPE murmura_{name} {kind}\n{rows}"


def _labelled(label: str, value: str) -> str:
    if not label:
        return ""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{label}="{escaped}"}}'
