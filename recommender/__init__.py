"""Activities chosen by an attention VAE and a decision policy, tuned by a dandelion optimizer. No Django."""
