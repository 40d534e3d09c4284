"""A Ray cluster for tests, in processes of its own: it is dear to start, so they share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ray_head() -> Iterator[Any]:
    """ray.cluster_utils.Cluster with a head of two logical CPUs, for the block."""
    from ray.cluster_utils import Cluster

    # None: its agent takes any port, for another process of tests may have a head as well
    options = {"num_cpus": 2, "include_dashboard": False, "dashboard_agent_listen_port": None}
    made = Cluster(initialize_head=True, head_node_args=options)
    try:
        yield made
    finally:
        made.remove_node(made.head_node, allow_graceful=False)  # it would drain for half a minute
        made.shutdown()
