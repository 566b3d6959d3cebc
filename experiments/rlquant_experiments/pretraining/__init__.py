"""Training of the policy weights that ship with dyna-ppo."""
