"""Metrics are lines that Prometheus reads, whatever a label holds."""

from shared.prometheus import metric


def test_a_label_cannot_break_out_of_its_line() -> None:
    """Run names are an operator's, and codes are ours; neither makes another metric."""
    text = metric("left_total", "counter", {'a"} 1\nmurmura_x 9\\': 2, "b": 3}, "kind")
    assert text.splitlines() == [
        "# TYPE murmura_left_total counter",
        'murmura_left_total{kind="a\\"} 1\\nmurmura_x 9\\\\"} 2',
        'murmura_left_total{kind="b"} 3',
    ]


def test_a_metric_without_values_has_its_type_alone() -> None:
    """Nothing was refused yet, say."""
    assert (
        metric("refused_total", "counter", {}, "code") == "# TYPE murmura_refused_total counter\n"
    )
    assert metric("sites", "gauge", {"": 3}).endswith("murmura_sites 3\n")
