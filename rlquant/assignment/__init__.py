"""Which of a grid's points each weight goes to, chosen by what the layer gives out."""
