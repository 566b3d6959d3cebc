"""Tasks of pretrained networks that packages ship: a loader each."""
