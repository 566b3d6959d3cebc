"""Results of fixed searches at one commit, kept to show that later commits give the same."""
