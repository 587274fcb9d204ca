"""The worker that runs KerasHub: `python -m segjax.benchmark.keras_worker`.

It uses the JAX backend and runs in an environment of its own, see keras.txt.
"""

import os

from segjax.benchmark import protocol


def make():
  """Imports KerasHub and returns the worker."""
  os.environ['KERAS_BACKEND'] = 'jax'
  import jax
  import jax.numpy as jnp
  import keras
  import keras_hub

  from segjax.benchmark import compiled
  from segjax.benchmark import products

  class KerasWorker(compiled.CompiledWorker):
    """Worker that runs steps of KerasHub."""

    def hello(self):
      return compiled.about(keras, keras_hub)

    def build(self, name, *, net, classes, size, batch, dtype, what):
      """Compiles a step and stores it as a build.

      Args:
        name: name of the build.
        net: 'deeplabv3plus_resnet50', the only network.
        classes: number of channels of the logits.
        size: [height, width] of the images, multiples of 32.
        batch: images per step.
        dtype: type of activations.
        what: 'train', or 'forward', which ends with a label map at the size of
          the image.

      Returns:
        The facts of the build: number of parameters, FLOPs of the forward pass
        of training by `products`, and the results of `compile`.
      """
      del net
      keras.config.set_dtype_policy(
          {'bfloat16': 'mixed_bfloat16'}.get(dtype, dtype)
      )
      model = deeplabv3plus_resnet50(classes, size)
      sgd = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
      sgd.build(model.trainable_variables)
      fixed = [v.value for v in model.non_trainable_variables]
      weights = [v.value for v in model.trainable_variables]
      arrays = jax.device_put(compiled.random_batch(batch, size, classes))

      def objective(weights, fixed, batch):
        logits, fixed = model.stateless_call(
            weights, fixed, batch['image'], training=True
        )
        loss = keras.losses.sparse_categorical_crossentropy(
            batch['label'], logits.astype(jnp.float32), from_logits=True
        )
        return loss.mean(), fixed

      def train(state, batch):
        weights, fixed, moments = state
        grads, fixed = jax.grad(objective, has_aux=True)(weights, fixed, batch)
        weights, moments = sgd.stateless_apply(moments, grads, weights)
        return (weights, fixed, moments), None

      def forward(state, batch):
        logits, _ = model.stateless_call(*state, batch['image'], training=False)
        return logits.argmax(-1).astype(jnp.uint8)

      jaxpr = jax.make_jaxpr(objective)(weights, fixed, arrays).jaxpr
      if what == 'train':
        step = jax.jit(train, donate_argnums=0)
        state = weights, fixed, [v.value for v in sgd.variables]
      else:
        step, state = jax.jit(forward), (weights, fixed)
      return {
          'parameters': sum(x.size for x in weights),
          'products': products.count(jaxpr),
          **self.compile(name, step, state, arrays),
      }

  def deeplabv3plus_resnet50(classes, size):
    """Returns KerasHub's DeepLabv3+ on a ResNet-50, output stride 32."""
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type='bottleneck_block',
        image_shape=(*size, 3),
    )
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        projection_filters=48,
        low_level_feature_key='P2',
        spatial_pyramid_pooling_key='P5',
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        image_shape=(*size, 3),
    )
    return keras_hub.models.DeepLabV3ImageSegmenter(backbone, classes)

  return KerasWorker()


if __name__ == '__main__':
  protocol.serve(make)
