"""DUpsampling of LinZhuoChen/DUpsampling."""

import numpy as np

from segjax import models
from segjax.convert.rules.linzhuochen import dupsampling
from segjax.ops.pixel_shuffle import depth_to_space
from tests.parity import forward
from tests.parity import reference
from tests.parity.case import ProcedureCase


def procedure(spec, variables, image, given):
  """Both passes, and how well the map decodes what the other encodes."""
  del variables, given
  model = models.create('dupsampling', spec['num_classes'], dropout=(0.0, 0.0))
  image = reference.image(spec)
  variables = forward.fill(model, dupsampling.RULES, spec, image)
  evaluated, trained = (
      forward.call(
          model, variables, image, train=train, parts=('encode',), whole=False
      )
      for train in (False, True)
  )
  return {
      'logits': evaluated.out['logits'],
      'decoder_feature': evaluated.parts['encode'],
      'train_logits': trained.out['logits'],
      'reconstruct_loss': reconstruction_error(spec, variables),
  }


def reconstruction_error(spec, variables):
  """The error that the original fits both maps by, on random labels."""
  classes, factor = spec['num_classes'], spec['build']['scale']
  shape = spec['input']['shape'][:3]
  rng = reference.generator(f'{spec["input"]["salt"]}:labels')
  labels = rng.integers(0, classes, shape)
  labels[rng.random(shape) < 0.05] = 0  # Those that are ignored.
  batch, height, width = shape
  one_hot = np.eye(classes, dtype=np.float32)[labels].reshape(
      batch, height // factor, factor, width // factor, factor, classes
  )
  patches = one_hot.transpose(0, 1, 3, 2, 4, 5).reshape(
      batch, height // factor, width // factor, -1
  )
  encode = reference.state(spec)['decoder.dupsample.conv_p.weight'][..., 0, 0]
  decode = np.asarray(variables['params']['expand']['kernel'])[0, 0]
  decoded = patches @ encode.T @ decode
  # A decoded patch has the pixels of the patch.
  lost = depth_to_space(decoded, factor) - one_hot.reshape(*shape, classes)
  return np.mean(np.square(lost))


CASES = {
    'dupsampling': ProcedureCase(lambda spec: spec, procedure),
}
