"""What searches of pretrained networks find for as many tokens, over networks and budgets."""
