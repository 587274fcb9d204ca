"""transformers 5.24, https://github.com/huggingface/transformers."""
