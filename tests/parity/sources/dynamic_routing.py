"""Dynamic routing of yanwei-li/DynamicRouting, and its budget loss."""

import functools
import re

import jax
import jax.numpy as jnp

from segjax import models
from segjax.convert.rules.yanweili import dynamic_routing as yanweili
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import dynamic_routing
from tests.parity import forward
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import ProcedureCase
from tests.parity.case import inside

# Weight and share of the operations of the three published networks.
BUDGETS = {'a': (0.8, 0.1), 'b': (0.5, 0.1), 'c': (0.5, 0.2)}


def build(spec, **fields):
  built = spec['build']
  return models.create(
      'dynamic_routing',
      spec['num_classes'],
      layers=built['layer_num'],
      features=built['init_channel'],
      small_gate=built['small_gate'],
      **fields,
  )


def mean(name):
  return lambda out, parts: out[name].mean()


LAST = tuple(f'layer15_{scale}' for scale in range(4))
NETWORK = Case(
    build,
    yanweili.RULES,
    {
        'logits': inside('classifier'),
        'expected_mflops': mean('expected_mflops'),
        'real_mflops': mean('mflops'),
        **{
            f'layer_{scale}_first16': inside(name, 0, 'keep', first=16)
            for scale, name in enumerate(LAST)
        },
    },
    parts=('classifier', *LAST),
)


def labels(spec, shape):
  rng = reference.generator(f'{spec["input"]["salt"]}:labels')
  drawn = rng.integers(0, spec['num_classes'], shape)
  drawn[rng.random(shape) < 0.05] = 255
  return drawn


def budget(spec, variables, image, given):
  """The losses at three points of the training, and a gradient."""
  del variables, given
  model = build(spec, cost_size=tuple(spec['build']['flops_size']))
  image = reference.image(spec)
  variables = forward.fill(model, yanweili.RULES, spec, image)
  evaluated = forward.call(model, variables, image).out
  label = labels(spec, image.shape[:3])

  def loss(out, name, progress):
    weight, share = BUDGETS[name]
    return dynamic_routing.loss(
        out,
        {'label': label, 'progress': progress},
        jax.random.key(0),
        base=lambda out, batch, rng: (0.0, {}),
        budget_weight=weight,
        budget=share,
        all_mflops=spec['build']['flops_all'],
    )

  @functools.partial(jax.jit, compiler_options=forward.QUICKLY)
  def trained(params):
    def objective(params):
      out, _ = model.apply(
          {**variables, 'params': params},
          image,
          train=True,
          mutable=['batch_stats'],
      )
      return loss(out, 'c', 0.7)[0], out

    return jax.value_and_grad(objective, has_aux=True)(params)

  (_, out), gradients = trained(variables['params'])
  biases = []
  for name, _ in spec['state']:
    if name.endswith('gate_conv_beta.2.bias'):
      cell = re.search(r'cell_list\.(\d+)\.(\d+)', name)
      cell = f'layer{cell[1]}_{cell[2]}' if cell else 'first'
      biases.append(gradients[cell]['gate']['score']['bias'])
  first = gradients['first']['gate']['score']['kernel']
  stem = gradients['stem1']['conv']['kernel']
  assert loss(out, 'a', 0.3)[0] == 0
  return {
      **{
          f'budget_{name}_p{percent:03}': loss(out, name, percent / 100)[0]
          for name in BUDGETS
          for percent in (41, 70)
      },
      'train_expected_mflops': out['expected_mflops'].mean(),
      'train_real_mflops': out['mflops'].mean(),
      'loss_sem_seg': cross_entropy(out['logits'], label),
      'grad_gate_biases': jnp.concatenate(biases),
      'grad_init_gate_weight': first.T[..., None, None],
      'grad_stem_1_weight_every4': stem.transpose(3, 2, 0, 1)[::4],
      'expected_mflops': evaluated['expected_mflops'].mean(),
      'real_mflops': evaluated['mflops'].mean(),
      'logits_every4': evaluated['logits'][:, ::4, ::4],
  }


CASES = {
    'dynamic_routing': NETWORK,
    'dynamic_routing_smallgate': NETWORK,
    'dynamic_routing_budget': ProcedureCase(lambda spec: spec, budget),
}
