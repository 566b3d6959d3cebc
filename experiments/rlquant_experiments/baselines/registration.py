"""The baselines by name, for the registry of searchers."""

from __future__ import annotations

from rlquant_agents import register_searcher, searchers

_PACKAGE = "rlquant_experiments.baselines"
BASELINES = {
    "random-swap": f"{_PACKAGE}.random_swap:RandomSwap",
    "greedy": f"{_PACKAGE}.greedy:Greedy",
    "knapsack-weight-error": f"{_PACKAGE}.knapsack_weight_error:KnapsackWeightError",
    "knapsack-fisher": f"{_PACKAGE}.knapsack_fisher:KnapsackFisher",
    "knapsack-output-error": f"{_PACKAGE}.knapsack_output_error:KnapsackOutputError",
    "knapsack-linearity": f"{_PACKAGE}.knapsack_linearity:KnapsackLinearity",
    "evopress": f"{_PACKAGE}.evopress:EvoPress",
    "amq": f"{_PACKAGE}.amq:AMQ",
    "fitted-knapsack": f"{_PACKAGE}.fitted_knapsack:FittedKnapsack",
    "gp": f"{_PACKAGE}.optuna_gp:GaussianProcess",
    "cma-es": f"{_PACKAGE}.optuna_cmaes:CMAES",
    "ddpg": f"{_PACKAGE}.ddpg:DDPG",
    "auto-first-answer": f"{_PACKAGE}.parts_of_auto:FirstAnswer",
    "auto-racing": f"{_PACKAGE}.parts_of_auto:Racing",
    "dyna-ppo-fresh": f"{_PACKAGE}.parts_of_auto:FreshPolicy",
    "masked-ppo-imitation": f"{_PACKAGE}.parts_of_ppo:Imitation",
    "masked-ppo-sampled": f"{_PACKAGE}.parts_of_ppo:Sampled",
    "masked-ppo-plain": f"{_PACKAGE}.parts_of_ppo:Plain",
    "masked-ppo-warm-start": f"{_PACKAGE}.parts_of_ppo:WarmStart",
    "masked-ppo-encoder": f"{_PACKAGE}.parts_of_ppo:Encoded",
    "masked-ppo-shaping": f"{_PACKAGE}.parts_of_ppo:Shaped",
}
"""Name -> where its class is, as `register_searcher` takes it."""


def register_baselines() -> None:
    """Make the baselines known by name in this process; once is enough, again does nothing."""
    for name, place in BASELINES.items():
        if name not in searchers():
            register_searcher(name, place)
