"""What nearly every run shares: the optimiser, its schedule, how often to validate, where logs go."""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from mmengine.visualization import LocalVisBackend
from torch.optim import AdamW

train_cfg = dict(by_epoch=True, max_epochs=16, val_interval=2)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=5.0),
)
# without an `end` the cosine runs to the last epoch
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=True, end=2, convert_to_iter_based=True),
    dict(type=CosineAnnealingLR, eta_min_ratio=0.01, by_epoch=True, begin=2, convert_to_iter_based=True),
]
save_best = "val/macro_f1"
log_interval = 20
vis_backends = [dict(type=LocalVisBackend)]
