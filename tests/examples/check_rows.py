"""Checks the two JSON documents of trace_vs_lazy_test.sh."""

import json
import sys

KEYS = {
    "model", "mode", "shape", "compile_ms", "first_call_ms", "steady_call_us", "compilations",
    "cache_hits", "max_abs_err", "simulated_us", "device_bytes", "neff_bytes",
}
EXPECTED = [
    ("mlp", "traced", "[1,784]"),
    ("mlp", "lazy", "[1,784]"),
    ("embedding", "traced", "[1,4]"),
    ("embedding", "lazy", "[1,4]"),
    ("embedding", "lazy", "[2,6]"),
]

first, second = (json.load(open(path))["rows"] for path in sys.argv[1:3])
for rows in (first, second):
    assert [(r["model"], r["mode"], r["shape"]) for r in rows] == EXPECTED, rows
    for row in rows:
        assert set(row) == KEYS, row
        assert 0 <= row["max_abs_err"] <= 1e-5, row
        assert row["simulated_us"] > 0 and row["device_bytes"] > 0 and row["neff_bytes"] > 0, row
for before, after in zip(first, second):
    assert before["simulated_us"] == after["simulated_us"], (before, after)
    assert before["device_bytes"] == after["device_bytes"], (before, after)
    assert before["neff_bytes"] == after["neff_bytes"], (before, after)
    if before["mode"] == "lazy":
        assert (before["compilations"], before["cache_hits"]) == (1, 0), before
        assert (after["compilations"], after["cache_hits"]) == (0, 1), after
