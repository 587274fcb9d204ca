"""Weights of other sources, turned into variables of these models and back.

`torch_file.py` reads files. `rules` says, as data, what each source calls the
parts of a model; `layouts.py` has the names of tensors and the order of axes of
each framework, `joints.py` functions between several tensors and variables.
`torch.py` is the engine that applies all of these. The program
`python -m segjax.convert` writes workdirs. As functions:

  state = torch_file.read('pspnet_r50-d8.pth')
  renaming = rules.find('mmseg', 'pspnet', 'resnet/50_v1c')
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  variables = torch.convert(state, renaming, template, rules.layout('mmseg'))
"""
