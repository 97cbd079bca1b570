"""Scores of a training run: the content of `scores.json` as dataclasses.

`RunScores.from_json` reads the file and `RunScores.to_json` writes it: same keys, same order, same numbers.
A number that does not exist is NaN here and null in the file. An optional part that the run has not is None
here and absent in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quintet.ensemble.calibration import Calibration
from quintet.ensemble.coverage import Coverage
from quintet.errors import ArtefactError
from quintet.evaluation.learning_curve import Outlook
from quintet.evaluation.scores import Difference, Estimate, Scores
from quintet.files.json_types import JsonObject
from quintet.files.untrusted.reasons import reason
from quintet.model_folder.pretrained import PretrainedViews

ENSEMBLE_PREDICTION = "verdict"
"""Name of the fused and calibrated prediction among predictions and scores, in files too."""

PARTS = ("oof", "test")
"""Parts of a run that have scores: the training part out of fold, and the held-out part."""

PartScores = Mapping[str, Scores]
"""Name of a member, a fusion rule or an ensemble → its scores on one part."""


@dataclass(frozen=True)
class ValidationFacts:
    """Facts about the validation part that the data bring, on which fusion and calibration were learnt.

    Args:
        n: number of its clips.
        n_taught: number of clips from which was learnt: not those of a class that the train part lacks.
        n_units: number of independent units among these: groups, or a fourth of the clips if groups are not
            known.
        groups_known: whether a group has several of these clips.
        class_share: share of the clips of both parts whose class occurs among these, in [0, 1].
        only_train: classes without a clip in the validation part.
        only_valid: classes without a clip in the train part.
        learnt_weights: share of the learnt weights in those of the chosen rule, in [0, 1]; the rest are equal
            weights. None if the rule learns none.
        learnt_calibration: share of the learnt calibration, in [0, 1]; None without calibration.
    """

    n: int
    n_taught: int
    n_units: float
    groups_known: bool
    class_share: float
    only_train: tuple[str, ...] = ()
    only_valid: tuple[str, ...] = ()
    learnt_weights: float | None = None
    learnt_calibration: float | None = None

    @classmethod
    def from_json(cls, content: JsonObject) -> ValidationFacts:
        """The facts that `to_json` wrote. Unknown keys are ignored."""
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        lists = {name: tuple(known.get(name, ())) for name in ("only_train", "only_valid")}
        return cls(**{**known, **lists})

    def to_json(self) -> JsonObject:
        """The fields by name."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class SplitFacts:
    """Facts about the split that the scores rest on. A fact that an older folder does not record is None.

    Args:
        protocol: `group`, `sound`, `random` or `given`.
        grouped: whether groups are known and were kept together.
        groups_known: whether the data say which clips belong to one group.
        n_folds: number of folds of the training part; 1 if the data bring a validation part.
        seed: seed of the split.
        digest: digest of the split, 16 hex digits.
        parts: part (`train`, `test`, `unused`) → number of clips.
        groups: part → number of groups; of blocks that sound alike, if groups are not known.
        group_by: what a group is, for example `artist`.
        validation: facts about the validation part that the data bring; None in cross-validation.
    """

    protocol: str | None = None
    grouped: bool | None = None
    groups_known: bool | None = None
    n_folds: int | None = None
    seed: int | None = None
    digest: str | None = None
    parts: Mapping[str, int] | None = None
    groups: Mapping[str, int] | None = None
    group_by: str | None = None
    validation: ValidationFacts | None = None

    @property
    def has_blocks(self) -> bool:
        """Whether groups are not known, and blocks of clips that sound alike take their place."""
        if self.protocol == "sound":
            return True
        sizes, groups = self.parts or {}, self.groups or {}
        return self.groups_known is False and any(n < sizes.get(part, 0) for part, n in groups.items())

    @classmethod
    def from_json(cls, content: JsonObject) -> SplitFacts:
        """The facts that `to_json` wrote. Unknown keys are ignored."""
        facts = {name: content.get(name) for name in cls.__dataclass_fields__}
        if facts["validation"] is not None:
            facts["validation"] = ValidationFacts.from_json(content["validation"])
        return cls(**facts)

    def to_json(self) -> JsonObject:
        """The facts that are recorded, by name."""
        facts = {name: value for name, value in vars(self).items() if value is not None}
        if self.validation is not None:
            facts["validation"] = self.validation.to_json()
        return facts


@dataclass(frozen=True)
class EnsembleScores:
    """Scores of the ensemble prediction: the chosen fusion rule, calibrated, as `predict` uses it.

    Args:
        rule: name of the chosen fusion rule.
        fold_rules: rule that was chosen without the fold's own clips, one per fold.
        calibration: calibration of the fused probabilities.
        sets: coverage of the prediction sets on the held-out part, one entry per confidence.
        parts: part (`oof`, `test`) → scores.
    """

    rule: str
    fold_rules: tuple[str, ...] = ()
    calibration: Calibration | None = None
    sets: tuple[Coverage, ...] = ()
    parts: Mapping[str, Scores] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: JsonObject) -> EnsembleScores:
        """The scores that `to_json` wrote."""
        calibration = content.get("calibration")
        return cls(
            rule=content["rule"],
            fold_rules=tuple(content.get("fold_rules", ())),
            calibration=None if calibration is None else Calibration.from_json(calibration),
            sets=tuple(Coverage.from_json(row) for row in content.get("sets", {}).values()),
            parts={part: Scores.from_json(content[part]) for part in PARTS if part in content},
        )

    def to_json(self) -> JsonObject:
        """`rule, fold_rules, calibration, sets {confidence: coverage}`, then the scores of each part."""
        return {
            "rule": self.rule,
            "fold_rules": list(self.fold_rules),
            **({} if self.calibration is None else {"calibration": self.calibration.to_json()}),
            "sets": {str(coverage.confidence): coverage.to_json() for coverage in self.sets},
            **{part: scores.to_json() for part, scores in self.parts.items()},
        }


@dataclass(frozen=True)
class PublishedScores:
    """Scores that the paper of a recipe reports.

    Args:
        protocol: how the paper evaluated.
        scores: member or ensemble → name of the score → value.
        source: the paper.
        data: the data of our run, as the recipe names them.
    """

    protocol: str
    scores: Mapping[str, Mapping[str, float]]
    source: str | None = None
    data: str | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> PublishedScores:
        """The scores that `to_json` wrote. Unknown keys are ignored."""
        known: JsonObject = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        return cls(**known)

    def to_json(self) -> JsonObject:
        """`protocol, scores {name: {score: value}}`, and `source` and `data` if they are known."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class LeakGap:
    """Difference of one score between two protocols, on the clips that both predicted.

    Args:
        first: the protocol whose score is the first term.
        second: the protocol whose score is subtracted.
        member: name of a member, or `mean` for the plain mean of all members.
        n: number of clips.
        n_groups: number of groups of these clips.
        score: name of the score.
        difference: score under `first` minus score under `second`, with its interval.
    """

    first: str
    second: str
    member: str
    n: int
    n_groups: int
    score: str
    difference: Difference

    @classmethod
    def from_json(cls, content: JsonObject) -> LeakGap:
        """The gap that `to_json` wrote."""
        return cls(
            first=content["from"],
            second=content["to"],
            member=content["member"],
            n=content["n"],
            n_groups=content["n_groups"],
            score=content["score"],
            difference=Difference.from_json(content),
        )

    def to_json(self) -> JsonObject:
        """`from, to, member, n, n_groups, score, value, low, high, p_value`."""
        return {
            "from": self.first,
            "to": self.second,
            "member": self.member,
            "n": self.n,
            "n_groups": self.n_groups,
            "score": self.score,
            **self.difference.to_json(),
        }


@dataclass(frozen=True)
class LeakGate:
    """Scores of the same members under several protocols, and the gaps between the protocols.

    Args:
        protocols: protocol → member (or `mean`) → scores.
        gaps: gaps from the first protocol to each of the others.
        ungrouped: protocols that ignore groups; their scores are marked wherever they are shown.
        probes: members that are fitted quickly and stand for all; empty if all members are compared.
    """

    protocols: Mapping[str, PartScores]
    gaps: tuple[LeakGap, ...]
    ungrouped: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: JsonObject) -> LeakGate:
        """The gate that `to_json` wrote."""
        return cls(
            protocols={name: _read_part(part) for name, part in content["protocols"].items()},
            gaps=tuple(LeakGap.from_json(gap) for gap in content["gaps"]),
            ungrouped=tuple(content.get("ungrouped", ())),
            probes=tuple(content.get("probes", ())),
        )

    def to_json(self) -> JsonObject:
        """`protocols {protocol: {member: scores}}, gaps [gap], ungrouped [protocol], probes [member]`."""
        return {
            "protocols": {name: _write_part(part) for name, part in self.protocols.items()},
            "gaps": [gap.to_json() for gap in self.gaps],
            "ungrouped": list(self.ungrouped),
            "probes": list(self.probes),
        }


@dataclass(frozen=True)
class CurvePoint:
    """Scores of members that were trained on one share of each training fold.

    Args:
        share: share of the groups of each training fold, in (0, 1].
        clips: mean number of training clips.
        groups: mean number of training groups.
        scores: name of the score → its value and interval.
    """

    share: float
    clips: float
    groups: float
    scores: Mapping[str, Estimate]

    @classmethod
    def from_json(cls, content: JsonObject) -> CurvePoint:
        """The point that `to_json` wrote."""
        rows: JsonObject = content["scores"]
        scores = {name: Estimate.from_json(row) for name, row in rows.items()}
        share, clips, groups = (content[name] for name in ("share", "clips", "groups"))
        return cls(share, clips, groups, scores)

    def to_json(self) -> JsonObject:
        """`share, clips, groups, scores {name: {value, low, high}}`."""
        scores = {name: estimate.to_json() for name, estimate in self.scores.items()}
        return {"share": self.share, "clips": self.clips, "groups": self.groups, "scores": scores}


@dataclass(frozen=True)
class CurveResult:
    """Learning curve of a run: scores at several sizes of the training data, and what twice the data would
    bring.

    Args:
        members: members whose plain mean is scored.
        repeats: number of draws of each share.
        n: number of clips that are scored at every size.
        n_groups: number of groups of these clips.
        left_out: shares so small that a class had fewer than two groups.
        points: one entry per size, smallest first; empty if fewer than three sizes are left.
        outlook: name of the score → fitted curve and expected gain; empty if there are no points.
    """

    members: tuple[str, ...]
    repeats: int
    n: int
    n_groups: int
    left_out: tuple[float, ...]
    points: tuple[CurvePoint, ...] = ()
    outlook: Mapping[str, Outlook] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: JsonObject) -> CurveResult:
        """The curve that `to_json` wrote."""
        return cls(
            members=tuple(content["members"]),
            repeats=content["repeats"],
            n=content["n"],
            n_groups=content["n_groups"],
            left_out=tuple(content["left_out"]),
            points=tuple(CurvePoint.from_json(point) for point in content["points"]),
            outlook={name: Outlook.from_json(outlook) for name, outlook in content["outlook"].items()},
        )

    def to_json(self) -> JsonObject:
        """`members, repeats, n, n_groups, left_out, points [point], outlook {score: outlook}`."""
        return {
            "members": list(self.members),
            "repeats": self.repeats,
            "n": self.n,
            "n_groups": self.n_groups,
            "left_out": list(self.left_out),
            "points": [point.to_json() for point in self.points],
            "outlook": {name: outlook.to_json() for name, outlook in self.outlook.items()},
        }


@dataclass(frozen=True)
class RunScores:
    """All scores of a training run, the content of `scores.json`.

    Args:
        split: facts about the split.
        parts: part (`oof`, `test`) → name → scores; `test` is absent if no part was held out.
        published: scores that a paper reports.
        ensemble: scores of the ensemble prediction; None in folders of early versions.
        leak_gate: scores under several protocols, if the run asked for them.
        learning_curve: scores at several sizes of the training data, if the run asked for them.
        pretrained: the stamp of scores that depend on pretrained networks.
    """

    split: SplitFacts = SplitFacts()
    parts: Mapping[str, PartScores] = field(default_factory=dict)
    published: PublishedScores | None = None
    ensemble: EnsembleScores | None = None
    leak_gate: LeakGate | None = None
    learning_curve: CurveResult | None = None
    pretrained: PretrainedViews | None = None

    @classmethod
    def from_json(cls, content: JsonObject) -> RunScores:
        """The scores that `to_json` wrote.

        Raises:
            ArtefactError: if a required entry is missing or is of another kind.
        """
        try:
            published = content.get("published")
            ensemble = content.get(ENSEMBLE_PREDICTION)
            gate = content.get("leak_gate")
            curve = content.get("learning_curve")
            pretrained = content.get("pretrained")
            return cls(
                split=SplitFacts.from_json(content.get("split", {})),
                parts={part: _read_part(content[part]) for part in PARTS if part in content},
                published=PublishedScores.from_json(published) if published else None,
                ensemble=EnsembleScores.from_json(ensemble) if ensemble else None,
                leak_gate=LeakGate.from_json(gate) if gate else None,
                learning_curve=CurveResult.from_json(curve) if curve else None,
                pretrained=PretrainedViews.from_json(pretrained) if pretrained else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ArtefactError(
                "scores.json must be what `quintet train` wrote. "
                f"It is not ({reason(error)}). Restore the model folder, or train again."
            ) from error

    def to_json(self) -> JsonObject:
        """`split, oof, test`, then what else the run has: `published, verdict, leak_gate, …`."""
        split = self.split.to_json()
        optional = {
            "published": self.published,
            ENSEMBLE_PREDICTION: self.ensemble,
            "leak_gate": self.leak_gate,
            "learning_curve": self.learning_curve,
            "pretrained": self.pretrained,
        }
        return {
            **({"split": split} if split else {}),
            **{part: _write_part(scores) for part, scores in self.parts.items()},
            **{name: value.to_json() for name, value in optional.items() if value is not None},
        }


def _read_part(content: JsonObject) -> PartScores:
    return {name: Scores.from_json(scores) for name, scores in content.items()}


def _write_part(part: PartScores) -> JsonObject:
    return {name: scores.to_json() for name, scores in part.items()}
