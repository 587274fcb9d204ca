"""CRF-RNN in PyTorch, https://github.com/sadeepj/crfasrnn_pytorch."""
