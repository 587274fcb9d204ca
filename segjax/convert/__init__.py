"""Weights of other libraries, turned into variables of these models.

`torch_file.py` reads files, `torch.py` is the engine and knows PyTorch's kinds
of layers; `rules` says, as data, what the modules of each source are called
here. The program `python -m segjax.convert` writes workdirs; as functions:

  state = torch_file.read('pspnet_r50-d8.pth')
  rules = segjax.convert.rules.find('mmseg', 'pspnet', 'resnet/50_v1c')
  template = jax.eval_shape(model.init, jax.random.key(0), image)
  variables = torch.convert(state, rules, template)
"""
