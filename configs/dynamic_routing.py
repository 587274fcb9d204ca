r"""Dynamic routing, https://arxiv.org/abs/2003.10401.

Paper: 78.6 mIoU on Cityscapes val, 119.4 GFLOPs (16 layers, trained on ImageNet
first); from random weights 76.1 without a budget, and 72.8, 73.8 and 74.6 with
budgets A, B and C of 44.9, 58.7 and 66.6 GFLOPs. Ours: 87.2 on val of `shapes`,
fewer and narrower layers from random weights, 700 steps in 2.8 CPU minutes, by
the first command: it expects 7.5 of 14.5 million operations.

  bash launch/local.sh --config=configs/dynamic_routing.py
  python -m segjax.main --workdir=runs/cityscapes \
      --config=configs/dynamic_routing.py:dataset=cityscapes,budget=A

On Cityscapes it is the recipe of the authors' code from random weights. Without
a budget it is their network without one, and with
--config.total_steps=560000 --config.model.drop_path=0.3 their longest run,
78.3. `shapes` has half of the operations of its small network as its budget.

After 100 steps of 8 images from the same seed it expects 13.3 million
operations without a budget, 9.8 with one of a half, and 9.4 with one of a
quarter, at 38.1, 37.6 and 37.0 mIoU:

  python -m segjax.tools.budgets --config=configs/dynamic_routing.py \
      --config.total_steps=100 --config.batch_size=8 --budgets=0.5,0.25 \
      --root=runs/budgets --output=budgets.png
"""

from configs import common

NORMALIZE = 'normalize((123.675, 116.28, 103.53), 1.0)|bgr'
RECIPES = {
    'cityscapes': dict(
        train='random_short((512, 768, 1024, 1280, 1536, 2048), 4096)'
        f'|random_crop(768)|flip|{NORMALIZE}',
        eval=NORMALIZE,
        steps=190_000,
        batch=8,
        lr=0.05,
    ),
}
# Factor of the budget loss, and the share of all operations that it aims at.
BUDGETS = {'A': (0.8, 0.1), 'B': (0.5, 0.1), 'C': (0.5, 0.2), '': (0.0, 0.1)}


def get_config(arg=''):
  """Returns the config; see `common.parse_arg`."""
  arg = common.parse_arg(arg, dataset='shapes', budget='', small=False)
  recipe = {} if arg.small else RECIPES.get(arg.dataset, {})
  config = common.base(arg.dataset, small=arg.small, **recipe)
  config.model_name = 'dynamic_routing'
  config.model = dict(
      layers=16,
      features=64,
      stem_features=64,
      small_gate=bool(arg.budget),
      gate_bias=1.5,
      drop_path=0.0,
      cost_size=(1024, 2048),
  )
  weight, share = common.choose('budget', arg.budget, BUDGETS)
  config.system_loss.budget_weight = weight
  config.system_loss.budget = share
  config.system_loss.all_mflops = 26_300.0
  config.system_loss.begin = 0.4
  config.system_loss.warmup = 0.02
  if arg.small:
    config.model.update(layers=6, features=16, stem_features=16)
    config.model.update(small_gate=False, cost_size=(96, 128))
    # The cells of the small network have 14.5 million operations.
    config.system_loss.update(budget_weight=1.0, budget=0.5, all_mflops=14.5)
  if recipe:
    config.precise_norms = 200
    config.optim.clip = 5.0
    config.optim.weight_decay = 1e-4
    config.optim.decay_on = 'kernel$'
    config.lr.base = recipe['lr']
    config.lr.schedule = 'poly(power=0.9)'
    config.lr.warmup_steps = 1000
    config.lr.warmup_from = 1e-3
  return config
