"""``dsanon reproduce``: the paper's experiments, on people whom the generators never saw."""
