"""Networks, scores, training, export and serving."""
