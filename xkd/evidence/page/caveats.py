"""What a reader of a comparison must know before believing it."""

from __future__ import annotations

from collections.abc import Mapping

from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain
from xkd.engine.outline import Outline
from xkd.evidence import controls
from xkd.evidence.arm import Arm
from xkd.statistics import Estimate, Summary

CAVEAT_SHUFFLED = (
    "The control with shuffled pairs was not run, so nothing here shows that the gain comes from the pairs. Add its arm: shuffled."
)
CAVEAT_STRANGE_MASKS = (
    "The control with masks of other rows was not run, so nothing here shows that it is the masks' places that help. Add its arm:"
    " shuffled_masks."
)
CAVEAT_MASKS = (
    "The distilled student was also shown the masks of labelled rows, the student alone was not: the gain belongs to teacher and masks"
    " together. The arm 'masks' tells them apart."
)
CAVEAT_ATTENTION = (
    "Where the networks look was not measured, though {} test rows say where their region of interest is: name a map for the student by"
    " compare.attention, such as compare.attention.{}='grad_cam:stage:-1'."
)
CAVEAT_TEACHERS = "There are several teachers; the share of the gap and the fidelity are those of the first alone, the {}."
CAVEAT_SMOKE = "A smoke run: one step per arm shows that everything runs, its numbers mean nothing."
CAVEAT_SEEDS = "One seed: the interval speaks of the test images alone, not of the luck of initialisation. Use --seeds 3 or more."
EMPTY = 0.1  # share of the rows with a mask
CAVEAT_RANDOMISED = (
    "The attention maps hardly change when the weights are thrown away (rank correlation {:.2f}): they show the image more than the"
    " network."
)
RANDOMISED = 0.7  # from here on a map is more the image's than the network's


def caveats(manifest: Manifest, seeds: int, arms: list[Arm], summary: Summary | None = None) -> list[str]:
    """What the arms that were run leave open, and what their scores say against themselves."""
    named = {arm.name: arm for arm in arms}
    distilled = named["distilled"].config()
    note = (distilled.get("compare") or {}).get("note")  # what whoever wrote the config wants read first
    lines = [*([note] if note else []), *([CAVEAT_SEEDS] if seeds == 1 else [])]
    outline = Outline.of(named["distilled"].config())
    masked = controls.alone(distilled, controls.MASKS).distiller.terms != named["alone"].config().distiller.terms
    if masked and not outline.steers and "masks" not in named:
        lines.append(CAVEAT_MASKS)
    if outline.steers and "shuffled_masks" not in named:
        lines.append(CAVEAT_STRANGE_MASKS)
    if "shuffled" not in named and outline.has_pairs:
        lines.append(CAVEAT_SHUFFLED)
    teachers = [arm for arm in arms if arm.name.startswith("teacher")]
    if len(teachers) > 1:
        lines.append(CAVEAT_TEACHERS.format(teachers[0].title))
    lines += _of_attention(manifest, arms, summary) if summary else []
    if "simulated" in manifest.source:
        lines.append("This data set is simulated: nothing here is evidence about the world.")
    return lines


def _of_attention(manifest: Manifest, arms: list[Arm], summary: Summary) -> list[str]:
    scores, lines = summary.scores["distilled"], []
    (distilled,) = [arm for arm in arms if arm.name == "distilled"]
    regions = num_regions(manifest, distilled)
    if "epg" not in scores and regions:
        lines.append(CAVEAT_ATTENTION.format(regions, distilled.branch))
    unchanged = scores.get("randomised")
    if unchanged and unchanged.defined and unchanged.mean > RANDOMISED:
        lines.append(CAVEAT_RANDOMISED.format(unchanged.mean))
    return lines + ([empty] if (empty := empty_maps(arms, summary.scores)) else [])


def num_regions(manifest: Manifest, arm: Arm) -> int:
    """Test rows that say where their region of interest is; none where the mask is what is learned."""
    dataset = as_plain(arm.config().test_dataloader.dataset)
    source = dataset.get("masks", {}).get("source", "mask")
    if dataset.get("target", "label") == "mask" or source == "none":
        return 0
    return sum(bool(row.mask if source == "mask" else row.boxes) for row in manifest.rows if row.split == "test")


def empty_maps(arms: list[Arm], scores: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Which arms have no attention in many of the rows with a mask."""
    shares = {arm.title: scores[arm.name]["no_map"] for arm in arms if "no_map" in scores[arm.name]}
    many = [f"{title} {100 * share.mean:.0f} %" for title, share in shares.items() if share.mean > EMPTY]
    text = "Attention maps are empty in many of the rows with a mask, where they score 0"
    return f"{text}: {', '.join(many)}. Look at the panels." if many else ""
