"""Further programs, beside training, evaluation and prediction."""
