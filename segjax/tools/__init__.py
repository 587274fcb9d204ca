"""Programs beside training, evaluation and prediction."""
