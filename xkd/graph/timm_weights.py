"""timm's own way of loading: from its hub or a file, original releases translated, positions resized to another image size."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from xkd.graph.folders import architecture_of, find_weights, statistics_of
from xkd.graph.state_dicts import FOUND, fit, load_file


def timm_part(model: nn.Module) -> nn.Module:
    """The one network of timm's in the model, or the model itself; `ValueError` where there is none, or several."""
    outer = _outer(model)
    if len(outer) != 1:
        several = f"with {len(outer)} of them" if outer else "which is none"
        raise ValueError(
            f"Pretrained() needs one timm model with pretrained weights, got {type(model).__name__}, {several}; use Checkpoint(path)"
        )
    return outer[0]


def inside(model: nn.Module) -> nn.Module:
    """The one network of timm's in the model; the model itself where there is none, or where there are several."""
    outer = _outer(model)
    return outer[0] if len(outer) == 1 else model


def _outer(model: nn.Module) -> list[nn.Module]:
    parts = [module for module in model.modules() if getattr(module, "pretrained_cfg", None)]
    inner = {id(module) for part in parts for module in part.modules() if module is not part}
    return [part for part in parts if id(part) not in inner]  # features_only wraps the whole network, which knows its weights too


def donor_of(part: nn.Module, file: str) -> nn.Module:
    """`part`'s architecture with the pretrained weights of its tag, or those of `file`, with the classes and channels that they know."""
    import timm  # only the branches that ask for it need the hub

    config: Any = part.pretrained_cfg
    name, options = config["architecture"], options_of(part)
    overlay = {**config, **(of_file(config, file, timm.create_model(name, **options)) if file else {})}
    if "num_classes" in overlay:
        options["num_classes"] = overlay["num_classes"]
    info: Any = getattr(part, "feature_info", None)
    if hasattr(info, "out_indices"):  # a features_only network, whose names may differ
        options |= {"features_only": True, "out_indices": tuple(info.out_indices)}
    try:
        donor: nn.Module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except OSError as error:
        raise ValueError(
            f"the pretrained weights of {name} cannot be fetched ({str(error).splitlines()[0]}); without a network name a file of them:"
            " Pretrained(file=...)"
        ) from error
    except RuntimeError as error:
        if not file and not config.get("url") and not config.get("hf_hub_id"):
            raise ValueError(f"timm has no pretrained weights of {name}; take another network, or a file: Pretrained(file=...)") from error
        raise ValueError(f"{file or f'pretrained {name}'}: not the weights of {name}: {' '.join(str(error).split())[:400]}") from error
    return donor


def of_file(config: Mapping[str, Any], file: str, plain: nn.Module) -> dict[str, Any]:
    """What timm is to know of `file` in place of its hub's: the tensors, how many classes they tell, the statistics that a folder states.

    `plain` is the architecture as timm publishes it. `ValueError` where the file is another network's, or for another number of channels.
    """
    if (other := architecture_of(file)) and other != config["architecture"]:
        raise ValueError(f"{file} has the weights of {other}, the model is {config['architecture']}")
    statistics = statistics_of(file)
    stated = {} if statistics is None else {"mean": tuple(statistics[0]), "std": tuple(statistics[1])}
    content, own = load_file(find_weights(file)), plain.state_dict()
    state = fit(plain, content, FOUND, file)
    if 2 * sum(name in state for name in own) < len(own):  # names of an original release, perhaps, which timm translates
        return {"state_dict": content, "source": None, **stated}
    first = f"{config['first_conv']}.weight"
    if first in state and state[first].shape[1] != own[first].shape[1]:
        raise ValueError(
            f"{file} is for {state[first].shape[1]} channels and timm publishes {config['architecture']} for {own[first].shape[1]}, so its"
            f" statistics are not timm's: use Checkpoint(path{'' if stated else ', mean=..., std=...'})"
        )
    published: Any = plain.pretrained_cfg  # a features_only network has forgotten its classifier
    sizes = [state[f"{name}.weight"].shape[0] for name in classifiers(published) if f"{name}.weight" in state]
    return {"state_dict": state, "source": None, "num_classes": sizes[0] if sizes else 0, **stated}


def options_of(part: nn.Module) -> dict[str, Any]:
    """A transformer for images of another size: timm resizes the positions when it loads them into one of that size."""
    size = getattr(getattr(getattr(part, "model", part), "patch_embed", None), "img_size", None)
    return {} if size is None else {"img_size": tuple(size)}


def resized(model: nn.Module, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """A timm network's tensors with positions (and patches) resized to the model's, as timm does it; others as they are."""
    own = model.state_dict()
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    unlike = [name for name in own if name in state and state[name].shape[1:] != own[name].shape[1:]]
    if convert is None or not unlike or not getattr(model, "pretrained_cfg", None):
        return dict(state)
    try:
        tensors: dict[str, Tensor] = convert(dict(state), model)
    except (RuntimeError, LookupError, ValueError) as error:
        raise ValueError(f"{source}: timm cannot resize {unlike} to those of {type(model).__name__}: {error}") from error
    for name in unlike:
        if name in tensors and tensors[name].shape != state[name].shape:
            change = f"'{name}' {tuple(state[name].shape)} was resized to {tuple(tensors[name].shape)}"
            logging.getLogger("xkd").info(f"{source}: {change}")
    return tensors


def classifiers(config: Mapping[str, Any]) -> list[str]:
    """Names of the modules that tell the classes: one, or two of a distilled transformer."""
    names = config.get("classifier") or ()
    return [names] if isinstance(names, str) else list(names)
