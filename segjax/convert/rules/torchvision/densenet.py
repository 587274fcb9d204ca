"""DenseNet from torchvision: `densenet121` and deeper.

The published files write 'norm.1' for what the code has as 'norm1'.
"""

LAYER = r'features\.denseblock(\d)\.denselayer(\d+)'

RULES = (
    (r'features\.conv0', 'stem/conv'),
    (r'features\.norm0', 'stem/norm'),
    (rf'{LAYER}\.norm\.?1', r'block\1_\2/norm'),
    (rf'{LAYER}\.conv\.?1', r'block\1_\2/conv1/conv'),
    (rf'{LAYER}\.norm\.?2', r'block\1_\2/conv1/norm'),
    (rf'{LAYER}\.conv\.?2', r'block\1_\2/conv2'),
    (r'features\.transition(\d)\.(norm|conv)', r'transition\1/\2'),
    (r'features\.norm5', 'norm'),
    ('classifier', 'classifier'),
)
