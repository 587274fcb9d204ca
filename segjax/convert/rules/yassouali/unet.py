"""U-Net from pytorch-segmentation, `UNet`.

Fields: `narrow=True, aux_level=''`. Levels on the way up are numbered from the
coarsest there.
"""

from segjax.convert.rules import conv_norm


def convs(source, target):
  """Returns the rules of the two convolutions of a level."""
  return (
      *conv_norm(source, f'{target}_conv1', '0', '1'),
      *conv_norm(source, f'{target}_conv2', '3', '4'),
  )


RULES = (
    *convs('start_conv', 'down0'),
    *convs(r'down(\d)\.down_conv', r'down\1'),
    *convs('middle_conv', 'middle'),
    *(
        rule
        for i in (1, 2, 3, 4)
        for rule in (
            (rf'up{i}\.up', f'up{4 - i}'),
            *convs(rf'up{i}\.up_conv', f'up{4 - i}'),
        )
    ),
    ('final_conv', 'classifier'),
)
