"""What the pages share: charts, words, state and style."""
