"""From corpora to measured models: splits, cached features, training, evaluation."""
