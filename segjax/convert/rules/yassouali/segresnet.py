"""SegResNet from pytorch-segmentation, on 'resnet/50'."""

from segjax.convert.rules import conv_norm

# Stages of the decoder there: number, level here, number of its last block.
STAGES = ((0, 5, 2), (1, 4, 5), (2, 3, 3), (3, 2, 2))


def block(source, target):
  """Returns the rules of a bottleneck's convolutions."""
  return conv_norm(
      source,
      rf'{target}/conv\g<number>',
      r'conv(?P<number>\d)',
      r'bn(?P<number>\d)',
  )


RULES = (
    (r'first_conv\.0', 'backbone/stem/conv'),
    (r'first_conv\.1', 'backbone/stem/norm'),
    *(
        rule
        for i in range(4)
        for rule in (
            *block(rf'encoder\.{i}\.(\d+)', rf'backbone/stage{i + 1}_\1'),
            *conv_norm(
                rf'encoder\.{i}\.0\.downsample',
                f'backbone/stage{i + 1}_0/shortcut',
            ),
        )
    ),
    *(
        rule
        for i, level, last in STAGES
        for rule in (
            *(
                (
                    (
                        rf'decoder\.{i}\.{last}\.conv2',
                        f'decoder{level}_last/up',
                    ),
                    (
                        rf'decoder\.{i}\.{last}\.bn2',
                        f'decoder{level}_last/up_norm',
                    ),
                    (
                        rf'decoder\.{i}\.{last}\.downsample\.0',
                        f'decoder{level}_last/shortcut_up',
                    ),
                    (
                        rf'decoder\.{i}\.{last}\.downsample\.1',
                        f'decoder{level}_last/shortcut_norm',
                    ),
                )
                if level > 2
                else conv_norm(
                    rf'decoder\.{i}\.{last}\.downsample',
                    f'decoder{level}_last/shortcut',
                )
            ),
            *block(rf'decoder\.{i}\.{last}', f'decoder{level}_last'),
            *block(rf'decoder\.{i}\.(\d+)', rf'decoder{level}_\1'),
        )
    ),
    (r'last_conv\.0', 'up'),
    (r'last_conv\.1', 'classifier'),
)
