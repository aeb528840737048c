"""Networks that say what to do: the values of actions."""
