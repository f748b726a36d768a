"""Sweeps: search spaces, who proposes their candidates, and the studies that train them on Ray Tune."""
