"""An agent that learns the landscape from what it measured, and practises in it."""
