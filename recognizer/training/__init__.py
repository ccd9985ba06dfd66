"""The offline half: data, training, judging, from the command line."""
