"""Ours beside LitServe and BentoML: the same artifact, engine, preprocessing, cores and run."""
