"""Ways to combine the readings of several networks into one, each a module called as `by(readings, there)`.

`readings` is a tuple of N tensors (B, K) or (B, K, H, W) of one shape, `there` a Bool tensor (N, B): which of them are there in which row,
at least one in each. A further parameter named `target` asks for the labels of the batch (`unlabelled` then is the way for rows without),
one named `reading` for the reading that the module's own `reading` names. Each gives one tensor of the readings' shape; where they are
logits, logits again, so that a loss and its temperature need no change. What is absent has no weight. A module may say `of_classes` (it
mixes the probabilities of classes of which one is right), `least` and `most` (how few and how many sources it can serve), `trained`
(readings that must be of a branch that learns), and have `bind` (see `Bound`). One that has `classes_of` (see `OfClasses`) gives columns of
other classes than its sources have.
"""

from xkd.ensembles.confidence import Confidence
from xkd.ensembles.entropy import Entropy
from xkd.ensembles.gated import Gated
from xkd.ensembles.mean import Mean
from xkd.ensembles.min_logit import MinLogit
from xkd.ensembles.only import Only
from xkd.ensembles.specialists import Specialists

__all__ = ["Confidence", "Entropy", "Gated", "Mean", "MinLogit", "Only", "Specialists"]
