"""What kind of landscape a problem is: how much of it is a sum of one effect per layer."""
