"""kMaX-DeepLab of bytedance: parts, and all behind the backbone."""

from flax import linen as nn
from flax import traverse_util
import jax
import jax.numpy as jnp

from segjax.convert.rules import bytedance
from segjax.convert.rules.bytedance import kmax_deeplab as rules
from segjax.layers.axial_attention import Block
from segjax.models import kmax_deeplab
from tests.parity import forward
from tests.parity import reference
from tests.parity.case import ProcedureCase

LEVELS = {'res2': 4, 'res3': 8, 'res4': 16, 'res5': 32}


def features(spec):
  """The features, a function of their names as the weights are."""
  salt, (_, *image, _) = spec['input']['salt'], spec['input']['shape']
  return {
      name.replace('res', 'c'): reference.generator(f'{salt}:{name}')
      .standard_normal(
          (2, *(-(-side // LEVELS[name]) for side in image), width)
      )
      .astype('float32')
      for name, width in spec['build']['features'].items()
  }


class Layer(nn.Module):
  num_classes: int

  @nn.compact
  def __call__(self, pixels, *, queries, train=False):
    layer = kmax_deeplab.KMeansLayer(self.num_classes, name='layer')
    queries, (classes, masks, features) = layer(pixels, queries, train)
    return {
        'queries': queries,
        'class_logits': classes,
        'mask_logits': masks,
        'assignment': masks.argmax(-1),
        'pixel_feature_first32': features[..., :32],
    }


def unbiased(before, after, counts):
  """Running variances as PyTorch has them after one call in train mode.

  Args:
    before: {path: array}, statistics before the call.
    after: the same after it.
    counts: {a part of the path: number of values of a channel}, the first
      that fits holds.
  """
  result = {}
  for path, new in after.items():
    kept = 0.99 * before[path]
    count = next(n for part, n in counts.items() if part in path)
    grown = count / (count - 1) if path.endswith('var') else 1
    result[path] = kept + (new - kept) * grown
  return result


def of_layer(model, variables, image, given):
  """Outputs in both modes, and gradients with the statistics after both."""
  queries = given['queries']
  computed = forward.call(
      model, variables, image, queries=queries, train=False
  ).out
  trained = forward.call(model, variables, image, queries=queries, train=True)
  pixels, number = image[..., 0].size, queries[..., 0].size
  each = queries.shape[1]
  stats = unbiased(
      *(
          traverse_util.flatten_dict(x['batch_stats'], sep='/')
          for x in (variables, trained.variables)
      ),
      {
          'similarity': number * each,
          'mask_norm': pixels * each,
          'mask_embedding': number,
          'pixel': pixels,
          'value': pixels,
          '': number,
      },
  )
  variables = {
      'params': variables['params'],
      'batch_stats': traverse_util.unflatten_dict(stats, sep='/'),
  }
  cotangent = reference.generator('public:cotangent').standard_normal(
      queries.shape
  )

  def product(pixels, queries):
    out = model.apply(variables, pixels, queries=queries)['queries']
    return (out * cotangent.astype('float32')).sum()

  of_pixels, of_queries = jax.jit(jax.grad(product, (0, 1)))(image, queries)
  return {
      **computed,
      **{
          f'train_{name}': x
          for name, x in trained.out.items()
          if name != 'pixel_feature_first32'
      },
      'grad_pixels_every4': of_pixels[..., ::4],
      'grad_queries': of_queries,
  }


class Parts(nn.Module):
  """A block of each kind, a fusion and a narrow pixel decoder."""

  filters: tuple[int, ...]
  depths: tuple[int, ...]
  kinds: tuple[str, ...]

  @nn.compact
  def __call__(self, feats, *, train=False):
    fields = dict(act=kmax_deeplab.gelu, norm=kmax_deeplab.batch_norm)
    x = Block('axial', 128, 64, 32, 64, name='axial', **fields)(
        feats['c5'], train
    )
    y = Block('bottleneck', 128, 32, name='bottleneck', **fields)(x, train)
    fused = kmax_deeplab.Fuse(32, name='fuse')(y, feats['c4'], train)
    maps = kmax_deeplab.PixelDecoder(
        ('c5', 'c4', 'c3', 'c2'),
        self.filters,
        self.depths,
        self.kinds,
        name='decoder',
    )(feats, train)
    return {
        'axial_every4': x[..., ::4],
        'bottleneck_every4': y[..., ::4],
        'fused': fused,
        **{
            f'decoder_os{stride}_every{every}': z[..., ::every]
            for stride, every, z in zip(
                (32, 16, 8, 4), (8, 8, 8, 4), maps, strict=True
            )
        },
    }


def build_parts(spec):
  build, feats = spec['build'], features(spec)
  model = Parts(
      tuple(build['dec_channels']),
      tuple(build['dec_layers']),
      tuple(build['layer_types']),
  )
  of_parts = (
      *bytedance.block('(axial|bottleneck)', r'\1'),
      *bytedance.fuse('fuse', 'fuse'),
      *bytedance.pixel_decoder(r'decoder\.', 'decoder'),
  )
  return model, feats, forward.fill(model, of_parts, spec, feats)


def of_parts(built, variables, image, given):
  """Outputs in both modes."""
  del variables, image, given
  model, feats, variables = built
  return {
      prefix + name: x
      for prefix, train in (('', False), ('train_', True))
      for name, x in forward.call(
          model, variables, feats, train=train
      ).out.items()
  }


class Behind(kmax_deeplab.Model):
  """All but the backbone."""

  @nn.compact
  def __call__(self, image, *, feats, train=False):
    return self.predictions(feats, image.shape[1:3], train)


def build_decoders(spec):
  build, feats = spec['build'], features(spec)
  model = Behind(
      spec['num_classes'],
      queries=build['num_queries'],
      filters=tuple(build['dec_channels']),
      depths=tuple(build['pixel_dec_layers']),
      layers=tuple(build['dec_layers']),
      drop_path=0.0,
      dropout=0.0,
  )
  variables = forward.fill(
      model, rules.RULES, spec, reference.image(spec), feats=feats
  )
  return model, feats, variables


def of_decoders(built, variables, image, given):
  """Outputs in both modes."""
  del variables, given
  model, feats, variables = built
  computed = {}
  parts = *(f'layer{i}' for i in range(3)), 'predictor', 'semantic'
  for prefix, train in (('', False), ('train_', True)):
    call = forward.call(
        model, variables, image, feats=feats, train=train, parts=parts
    )
    classes, masks, pixels = call.parts['predictor']
    grid = masks.shape[1:3]
    found = {
        'class_logits': classes,
        'mask_logits': masks,
        'pixel_feature_every16': pixels[..., ::16],
        'semantic': call.parts['semantic'],
    }
    for i in range(3):
      queries, (of_class, of_mask, _) = call.parts[f'layer{i}']
      of_mask = kmax_deeplab.enlarge(jnp.asarray(of_mask), grid)
      found |= {
          f'queries_{i}_every8': queries[..., ::8],
          f'aux_{i}_class_logits': of_class,
          f'aux_{i}_mask_logits_every3': of_mask[:, ::3, ::3],
      }
    computed |= {prefix + name: x for name, x in found.items()}
  return computed


CASES = {
    'kmax_layer': ProcedureCase(
        lambda spec: Layer(spec['num_classes']),
        of_layer,
        bytedance.kmeans_layer('', 'layer'),
        inputs=lambda image, given: {'queries': given['in_queries']},
    ),
    'kmax_pixel_decoder_block': ProcedureCase(build_parts, of_parts),
    'kmax_decoders': ProcedureCase(build_decoders, of_decoders),
}
