"""The folder of a run: settings, evaluations, figures and results on disk."""
