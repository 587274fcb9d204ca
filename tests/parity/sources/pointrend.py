"""PointRend: of mmsegmentation 1.2.2 and of its authors, and its operators."""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.convert import rules
from segjax.layers import point_head
from segjax.layers.conv import Conv
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import pointrend
from segjax.ops import points as ops
from segjax.ops.resize import resize
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import inside
from tests.parity.case import returned

# Where the fixture of mmsegmentation asks the point head, in both images.
SPREAD = np.arange(64, dtype=np.float32)[:, None] * np.float32(
    [0.618034, 0.7548777]
)
SPREAD %= 1


class Network(pointrend.Model):
  """PointRend, predicting even if norms take statistics from the batch."""

  @nn.compact
  def __call__(self, image, *, train=False):
    coarse, fine, head = self.parts(image, train)

    def score(points):
      return head(fine, coarse, points)

    points = jnp.broadcast_to(SPREAD, (len(image), *SPREAD.shape))
    return {
        'coarse': coarse,
        'points': points,
        'point_logits': score(points).swapaxes(1, 2),
        'logits': point_head.subdivide(coarse, score, 8196),
        'logits_256': point_head.subdivide(coarse, score, 256),
    }


class Toy(nn.Module):
  """The authors' head on a convolution, as its fixture has it."""

  num_classes: int

  @nn.compact
  def __call__(self, image, *, train=False):
    fine = Conv(16, (3, 3), strides=4, padding=1, name='p2')(image)
    coarse = Conv(self.num_classes, (1, 1), name='classifier')(fine)
    head = point_head.PointHead(self.num_classes, 64, name='points')
    draws, others = (
        jnp.float32(
            reference.generator(f'public:points{i}').random((2, count, 2))
        )
        for i, count in enumerate((96, 8))
    )
    points = jnp.concatenate([ops.most_uncertain(coarse, draws, 24), others], 1)
    return {
        'coarse': coarse,
        'points': points,
        'point_logits': head(fine, coarse, points),
        'logits': point_head.subdivide(
            coarse, lambda points: head(fine, coarse, points), 96
        ),
    }


def gradient(function, *names):
  """The gradients of a function of {name: input} for some of them."""

  def compute(inputs):
    return jax.grad(lambda chosen: function({**inputs, **chosen}))(
        {name: jnp.asarray(inputs[name]) for name in names}
    )

  compute = jax.jit(compute)
  return {
      name: lambda inputs, name=name: compute(inputs)[name] for name in names
  }


def against(function, cotangent):
  """The sum of what a function returns times an input."""
  return lambda inputs: (function(inputs) * inputs[cotangent]).sum()


def at_points(inputs):
  return ops.sample(inputs['map'], inputs['points'])


def on_grid(padding, align_corners):
  return lambda inputs: ops.sample(
      inputs['map'],
      (inputs['grid'] + 1) / 2,
      padding=padding,
      align_corners=align_corners,
  )


def along_flow(inputs):
  """Semantic flow: the flow is in parts of half of the result's size."""
  return ops.warp(inputs['map'], inputs['flow'])


def sampled(name, function, cotangent, coordinates):
  """The values of a kind of sampling, and both gradients."""
  gradients = gradient(against(function, cotangent), 'map', coordinates)
  other = 'flow' if coordinates == 'flow' else 'coords'
  return {
      name: jax.jit(function),
      f'grad_map_{name}': gradients['map'],
      f'grad_{other}_{name}': gradients[coordinates],
  }


def choice(logits, draws):
  """The points of training, from given draws."""

  @jax.jit
  def function(inputs):
    chosen = ops.most_uncertain(inputs[logits], inputs[draws], 18)
    return jnp.concatenate([chosen, inputs[f'{draws}_random']], 1)

  return function


points = choice('coarse_logits', 'draws')
mask_points = choice('mask_logits', 'draws_mask')


@jax.jit
def point_logits(inputs):
  where = points(inputs)
  fine = ops.sample(inputs['features'], where)
  coarse = ops.sample(inputs['coarse_logits'], where)
  joined = jnp.concatenate([fine, coarse], -1)
  return joined @ inputs['point_weight'].T + inputs['point_bias']


@jax.jit
def point_targets(inputs):
  return ops.nearest(inputs['labels'], points(inputs))


def outputs(inputs):
  """What the model would return for the coarse logits and the point head."""
  return {
      'logits': resize(inputs['coarse_logits'], inputs['labels'].shape[1:3]),
      'aux': {},
      'points': points(inputs),
      'point_logits': point_logits(inputs),
  }


@functools.partial(jax.jit, static_argnames='divide_by')
def losses(inputs, divide_by='weights'):
  """The loss of the model, and its parts."""

  def base(out, batch, rng):
    del rng
    total = cross_entropy(out['logits'], batch['label'], divide_by=divide_by)
    return total, {'coarse': total}

  batch = {'label': inputs['labels']}
  return pointrend.loss(outputs(inputs), batch, None, base=base)


@jax.jit
def gradient_mmseg(inputs):
  """The gradient of the loss divided by all points, for the point logits."""

  def loss(logits):
    return cross_entropy(
        logits[:, :, None],
        point_targets(inputs)[:, :, None],
        divide_by='all',
    )

  return jax.grad(loss)(point_logits(inputs))


LEARNT = ('coarse_logits', 'features', 'point_weight', 'point_bias')

CASES = {
    'pointrend_r50': Case(
        lambda spec: Network(spec['num_classes']),
        rules.find('mmseg', 'pointrend', 'resnet/50_v1c'),
        {
            'backbone_c4_first64': inside('backbone', 'c5', first=64),
            'aux_0': returned('coarse'),
            **{
                name: returned(name)
                for name in ('points', 'point_logits', 'logits', 'logits_256')
            },
        },
        parts=('backbone',),
    ),
    'pointrend_official_head': Case(
        lambda spec: Toy(spec['num_classes']),
        (('p2', 'p2'), *rules.find('detectron2', 'pointrend', 'resnet/101')),
        {
            'coarse_logits': returned('coarse'),
            'logits': returned('logits'),
            'sampled_points': returned('points'),
            'sampled_point_logits': returned('point_logits'),
        },
    ),
    'pointrend_loss': FunctionCase(
        {
            'points': points,
            'point_logits': point_logits,
            'point_targets': point_targets,
            'loss_coarse': lambda inputs: losses(inputs)[1]['coarse'],
            'loss_point': lambda inputs: losses(inputs)[1]['points'],
            'loss_point_mmseg': lambda inputs: losses(inputs, 'all')[1][
                'points'
            ],
            **{
                f'grad_{name}': function
                for name, function in gradient(
                    lambda inputs: losses(inputs)[0], *LEARNT
                ).items()
            },
            'grad_point_logits_mmseg': gradient_mmseg,
            'mask_points': mask_points,
            'mask_point_logits': lambda inputs: ops.sample(
                inputs['mask_logits'], mask_points(inputs)
            ),
        }
    ),
    'point_sample_op': FunctionCase(
        {
            **sampled('points', at_points, 'cotangent_points', 'points'),
            'labels_at_points': lambda inputs: ops.nearest(
                inputs['labels'], inputs['points_inside']
            ),
            **{
                name: function
                for padding in ('zeros', 'border')
                for corners in (False, True)
                for name, function in sampled(
                    f'grid_{padding}_{"corners" if corners else "halfpixel"}',
                    on_grid(padding, corners),
                    'cotangent_grid',
                    'grid',
                ).items()
            },
            **sampled('warp', along_flow, 'cotangent_warp', 'flow'),
        }
    ),
}
