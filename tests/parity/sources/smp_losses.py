"""Losses and scores of segmentation_models_pytorch 0.6.0."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax import losses
from segjax.evaluation import imagewise
from tests.parity import forward
from tests.parity.case import FunctionCase

CLASS_WEIGHTS = (0.5, 1.0, 2.0, 1.5, 0.7)
POWER = 4 / 3  # Of the Tversky loss, of the mean over all labels.
# Calls of ours by the names in the fixture: of one channel, of a softmax, and
# of several labels a pixel, each of which is a binary problem of its own here.
OVERLAP = {
    f'{name}_{mode}{suffix}': f'tversky_smp({options}{more})'
    for name, options in (
        ('dice', 'alpha=0.5, beta=0.5'),
        ('jaccard', 'alpha=1.0, beta=1.0'),
    )
    for mode in ('binary', 'multiclass', 'multilabel')
    for suffix, more in (
        ('', ''),
        ('_log_smooth1', ', log=True, smooth=1.0'),
        ('_ignore', ''),
    )
}
OVERLAP |= {
    f'{name}_multiclass_{suffix}': f'tversky_smp({options}{more})'
    for name, options in (
        ('dice', 'alpha=0.5, beta=0.5'),
        ('jaccard', 'alpha=1.0, beta=1.0'),
    )
    for suffix, more in (('classes', ', classes=(0, 2, 4)'), ('weights', ''))
}
OVERLAP |= {
    f'tversky_{mode}{suffix}': f'tversky_smp(alpha=0.3, beta=0.7{more})'
    for mode in ('binary', 'multiclass', 'multilabel')
    for suffix, more in (('', f', power={POWER}'), ('_ignore', ''))
}
OVERLAP['tversky_multilabel'] = OVERLAP['tversky_multilabel_ignore']
OVERLAP['tversky_multiclass_weights'] = 'tversky_smp(alpha=0.3, beta=0.7)'
# Without an alpha, both kinds of pixels have a factor of 1 there.
PIXELS = {
    f'focal_{mode}{suffix}': call
    for mode in ('binary', 'multiclass', 'multilabel')
    for suffix, call in (
        ('', '2.0 * binary_focal(alpha=0.5)'),
        ('_alpha_ignore', 'binary_focal(gamma=1.5)'),
        ('_normalized', '2.0 * binary_focal(alpha=0.5, normalized=True)'),
        ('_reduced', '2.0 * binary_focal(alpha=0.5, whole_below=0.5)'),
    )
    if (mode, suffix) != ('multilabel', '_alpha_ignore')
}
PIXELS |= {
    'mcc_binary': 'mcc',
    'focal_multiclass_weights': '2.0 * binary_focal(alpha=0.5)',
    'soft_ce_multiclass': 'cross_entropy(label_smoothing=0.1)',
    'soft_ce_multiclass_ignore': (
        "cross_entropy(label_smoothing=0.1, divide_by='all')"
    ),
    'soft_ce_multiclass_sum': (
        "cross_entropy(label_smoothing=0.2, divide_by='nothing')"
    ),
}
PIXELS |= {
    f'soft_bce_{mode}{suffix}': f'binary_cross_entropy({options})'
    for mode in ('binary', 'multilabel')
    for suffix, options in (
        ('', ''),
        ('_smooth', 'label_smoothing=0.1'),
        ('_ignore', "divide_by='all'"),
    )
}
PIXELS['soft_bce_multilabel_pos_weight'] = 'binary_cross_entropy'


def value_and_gradient(name, call):
  """Returns the function from inputs to a loss and its gradient for logits."""
  mode = name.split('_')[2 if name.startswith('soft') else 1]

  def function(given):
    labels = given[f'target_{mode}']
    logits = given['logits_binary' if mode == 'binary' else 'logits_multiclass']
    if 'ignore' in name or name == 'soft_ce_multiclass_sum':
      mask = given['ignored'].reshape(
          labels.shape[:3] + (1,) * (labels.ndim - 3)
      )
      labels = np.where(mask > 0, 255, labels)
    weights = None
    if name.endswith('_weights'):
      # There the sum of the weights does not matter.
      weights = jnp.asarray(CLASS_WEIGHTS) / np.mean(CLASS_WEIGHTS)
    objective = losses.build(call, weights)

    def channelwise(logits):
      """Averages the loss of each label, a binary problem of its own."""
      total = 0.0
      for k in range(logits.shape[-1]):
        loss = objective
        if name.endswith('pos_weight'):
          loss = losses.build(f'{call}(pos_weight={CLASS_WEIGHTS[k]})')
        total += loss(logits[..., k : k + 1], labels[..., k])[0]
      mean = total / logits.shape[-1]
      return mean**POWER if name == 'tversky_multilabel' else mean

    def total(logits):
      if mode == 'binary':
        return objective(logits, labels[..., 0])[0]
      if mode == 'multiclass':
        return objective(logits, labels)[0]
      return channelwise(logits)

    return jax.jit(jax.value_and_grad(total), compiler_options=forward.QUICKLY)(
        jnp.asarray(logits, jnp.float32)
    )

  return function


def counts(mode):
  """Returns the function from inputs to the counts of images and classes."""

  def function(given):
    if mode == 'multiclass':
      return np.stack(
          [
              imagewise.class_counts(prediction, label, 5)
              for prediction, label in zip(
                  given['pred'], given['target'], strict=True
              )
          ]
      )
    labels = 1 if mode == 'binary' else 3
    return np.stack(
        [
            imagewise.label_counts(
                probability[..., :labels] >= 0.5, label[..., :labels] > 0
            )
            for probability, label in zip(
                given['multilabel_prob'],
                given['multilabel_target'],
                strict=True,
            )
        ]
    )

  return function


def score(mode, name, mean, imagewise_mean, empty):
  """Returns the function from inputs to a score."""
  number = {'binary': 1, 'multilabel': 3, 'multiclass': 5}[mode]

  def function(given):
    return imagewise.score(
        counts(mode)(given),
        name,
        mean,
        imagewise=imagewise_mean,
        class_weights=CLASS_WEIGHTS[:number],
        empty=empty,
    )

  return function


MODES = ('multiclass', 'multilabel', 'binary')
CASES = {
    'smp_losses': FunctionCase(
        {
            (name, f'{name}_grad'): value_and_gradient(name, call)
            for name, call in (OVERLAP | PIXELS).items()
        },
        within=1e-4,
        slow=True,
    ),
    'smp_metrics': FunctionCase(
        {
            **{f'{mode}_counts': counts(mode) for mode in MODES},
            **{
                f'{mode}_{name}_{mean}{"_imagewise" * whole}{suffix}': score(
                    mode, name, mean, whole, empty
                )
                for mode in MODES
                for name in imagewise.SCORES
                for mean, whole in (
                    ('none', False),
                    *(
                        (x, y)
                        for x in imagewise.MEANS[1:]
                        for y in (False, True)
                    ),
                )
                for suffix, empty in (('', 1.0), ('_zero0', 0.0))
                if not suffix or name in ('iou', 'f1')
            },
        },
        within=1e-6,
    ),
}
