"""Networks of the papers, for the tasks: Gupta's, Polino's and wide residual networks."""
