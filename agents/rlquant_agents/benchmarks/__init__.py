"""How fast rlquant is: each benchmark returns figures beside the targets they should reach."""
