"""From photos with labels to an artifact: one run is one folder, and the same command goes on where it stopped."""
