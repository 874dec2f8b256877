"""`python -m server.worker`, which a running 0.1 starts when it restarts workers after an upgrade. Goes with
0.3."""

import runpy

if __name__ == "__main__":
    runpy.run_module("server.cli.worker", run_name="__main__")
