"""pytorch_tiramisu by bfortuner, on GitHub, a port of FC-DenseNet."""
