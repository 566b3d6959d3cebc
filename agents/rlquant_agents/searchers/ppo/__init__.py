"""PPO agents: plain and with action masks, and their warm start by imitation."""
