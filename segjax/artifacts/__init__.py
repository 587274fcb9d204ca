"""What a run leaves behind: its folder, checkpoints, summaries and pictures."""
