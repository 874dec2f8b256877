"""The speed of the service, as ratios to peers in the same run: `scripts/bench`. Not part of the tests."""
