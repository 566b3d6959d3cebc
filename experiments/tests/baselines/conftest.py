"""The baselines are known by name in all tests of this folder."""

from rlquant_experiments.baselines.registration import register_baselines

register_baselines()
