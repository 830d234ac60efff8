"""What a person types: each name is imported from here when it is first used, so `import xkd` stays fast. This is the one list of them."""

from .batch import Batch as Batch, Number as Number, View as View
from .builder import build as build
from .changes import Folded as Folded, Rounded as Rounded
from .data.annotations import Labels as Labels, Masks as Masks
from .data.augment import Augment as Augment
from .data.blank import Blank as Blank
from .data.boxes import Boxes as Boxes
from .data.cache import TeacherCache as TeacherCache
from .data.exemplars import Exemplars as Exemplars
from .data.fold import Fold as Fold
from .data.gaps import Gaps as Gaps
from .data.loader import DrawSampler as DrawSampler, collate as collate
from .data.manifest import Manifest as Manifest, numbers as numbers, sensor as sensor
from .data.mix import Mix as Mix
from .data.paired import PairedDataset as PairedDataset
from .data.shuffle import Shuffle as Shuffle
from .data.supervisor import quantities as quantities
from .data.windows import Windows as Windows
from .engine.int8 import Int8 as Int8
from .engine.precision import BF16OptimWrapper as BF16OptimWrapper
from .engine.student import Student as Student, load_student as load_student
from .engine.train import train as train
from .engine.use import export as export, predict as predict, test as test
from .ensembles import (
    Confidence as Confidence,
    Entropy as Entropy,
    Gated as Gated,
    Mean as Mean,
    MinLogit as MinLogit,
    Only as Only,
    Specialists as Specialists,
)
from .evidence.compare import compare as compare
from .evidence.distill import Distilled as Distilled, distill as distill
from .evidence.plan.run import Planned as Planned, PlanSettings as PlanSettings, plan as plan
from .evidence.pretrain import PretrainedPairs as PretrainedPairs, pretrain as pretrain
from .evidence.search import SearchSettings as SearchSettings, search as search
from .evidence.timings import Budget as Budget
from .graph.branch import Branch as Branch, Head as Head
from .graph.class_map import ClassMap as ClassMap
from .graph.distiller import Distiller as Distiller, Step as Step
from .graph.ensemble import Ensemble as Ensemble
from .graph.explanation import GradCAM as GradCAM
from .graph.gates import Confident as Confident, Dropped as Dropped, Right as Right, SameOrder as SameOrder
from .graph.inputs import Crops as Crops, Eats as Eats, Whole as Whole
from .graph.pairs import PretrainedOnPairs as PretrainedOnPairs
from .graph.schedules import Cosine as Cosine, Ramp as Ramp, StopAt as StopAt
from .graph.term import Term as Term
from .graph.weights import (
    EMA as EMA,
    Checkpoint as Checkpoint,
    Pretrained as Pretrained,
    Random as Random,
    Shared as Shared,
    Trained as Trained,
)
from .losses import (
    ASKD as ASKD,
    AT as AT,
    BCKD as BCKD,
    CATKD as CATKD,
    CC as CC,
    CRD as CRD,
    CWD as CWD,
    DICOD as DICOD,
    DIST as DIST,
    DKD as DKD,
    FCOS as FCOS,
    FSP as FSP,
    HKD as HKD,
    ICKD as ICKD,
    IRG as IRG,
    KD as KD,
    L1 as L1,
    MGD as MGD,
    MLKD as MLKD,
    MSE as MSE,
    NKD as NKD,
    NST as NST,
    OFA as OFA,
    OFD as OFD,
    PKT as PKT,
    POD as POD,
    RKD as RKD,
    SP as SP,
    VID as VID,
    WKD as WKD,
    Activation as Activation,
    AttentionCosine as AttentionCosine,
    AttentionKL as AttentionKL,
    BinaryCrossEntropy as BinaryCrossEntropy,
    CrossEntropy as CrossEntropy,
    EdgeSmoothL1 as EdgeSmoothL1,
    EvenClasses as EvenClasses,
    FitNet as FitNet,
    FrequencySplit as FrequencySplit,
    GaussianNLL as GaussianNLL,
    MaskedFeature as MaskedFeature,
    MaskEnergy as MaskEnergy,
    ModalityDiscriminator as ModalityDiscriminator,
    NormalizedDistance as NormalizedDistance,
    NormStatistics as NormStatistics,
    OwnClass as OwnClass,
    PixelL1 as PixelL1,
    PODFlat as PODFlat,
    ReviewKD as ReviewKD,
    ScaleInvariantLog as ScaleInvariantLog,
    SigmoidKD as SigmoidKD,
    SmoothedBoxes as SmoothedBoxes,
    SmoothL1 as SmoothL1,
    TokenSimilarity as TokenSimilarity,
    VarianceKD as VarianceKD,
)
from .modalities import (
    RGB as RGB,
    Clip as Clip,
    Depth as Depth,
    LiDAR as LiDAR,
    Multispectral as Multispectral,
    Noise as Noise,
    Thermal as Thermal,
)
from .modality import Modality as Modality, Stack as Stack
from .networks import (
    DenseDetector as DenseDetector,
    Enlarged as Enlarged,
    Frames as Frames,
    Generator as Generator,
    Logits as Logits,
    NoiseImages as NoiseImages,
    PixelDecoder as PixelDecoder,
    Volume as Volume,
)
from .projectors import (
    MLP as MLP,
    AttentionMask as AttentionMask,
    Conv1x1 as Conv1x1,
    GroupLinear as GroupLinear,
    Identity as Identity,
    OFAHead as OFAHead,
    Orthogonal as Orthogonal,
    PartialCrossAttention as PartialCrossAttention,
    PooledLinear as PooledLinear,
    Projector as Projector,
    Resize as Resize,
    Translator as Translator,
)
from .taps import Tap as Tap
from .tasks import (
    Classification as Classification,
    Dense as Dense,
    Detection as Detection,
    Features as Features,
    PixelHead as PixelHead,
    Regression as Regression,
    Segmentation as Segmentation,
    Selection as Selection,
)

__version__: str
